// Package schemas is the vocabulary of the system: one file per table (the Go
// row type, which also defines its Arrow schema), the inputs and results of
// every workflow, and the records that make a shard, a manifest and a dataset
// version.
//
// It imports nothing of ours. Everything Arrow stays behind it, so that a move
// to another Arrow version touches this package only. What does not belong
// here: behaviour other than encoding, decoding and validation.
package schemas
