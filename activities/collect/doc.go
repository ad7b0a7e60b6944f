// Package collect deletes what nothing in a bucket names any more: data objects of
// attempts that lost or died, watermarks and model files that no record names,
// checkpoints of trainings that ended, and, where asked for, runs and replies of
// the call cache beyond an age.
//
// Whatever a version of a data set, a promoted model, an import, a supplement or a
// commit record names stays, pinned or not. What is younger than a grace period
// stays, since its record may be on the way. A data object is content-addressed: a
// run may make one again that lay unnamed for months. So each is looked at once
// more right before it is deleted, a copy is kept in the trash, and afterwards
// everything is marked again: what has been named meanwhile is put back.
//
// What may enter: the layout of the bucket. What may not: what rows mean.
package collect
