// Package changes says what the present code would make of rows that earlier code
// made: by which versions they were made, and, for a bounded sample, which rows
// would come out different.
//
// Each stage is run anew on the stored input of that stage, so that a difference
// is its own and not that of a stage before it. No call is made: where a step asks
// a model, only replies of the call cache count, and a row whose reply is not there
// is unknown. Nothing is written to the store.
package changes
