// Package requeue brings rows that a stage set aside back into a data set.
//
// Supplement writes the chosen rows, with what they are joined with, as the shards
// of a new manifest: the stage that set them aside, and those after it, are started
// on that manifest, whose jobs are therefore new and hold nothing but these rows.
// Merge then puts the pairs that came of it into a data set, as its next version.
//
// Committed shards never change, and no object does: where a requeued row changes
// which pairs its turn gives, the new version names another object.
//
// What may enter: which rows belong together over the tables. What may not: how a
// stage works on them.
package requeue
