// Package forget removes the rows of given profiles, personas or users from a
// bucket, and proves that they are gone.
//
// Rows lie in objects that are named by their hash and shared by versions, jobs
// and manifests. So every object that holds a row to be forgotten is written again
// without it, everything that names the object names the new one, and the old one
// is deleted. A version of a data set keeps its record, which holds hashes alone,
// and is marked as superseded by a new version without the rows.
//
// A removal goes: tombstones, so that no refresh brings the rows back; a scan that
// follows the ids from table to table; the new objects; the plan, which knows
// everything that is needed to go on; what names the objects; the deletions; a
// search of everything that is left; the proof. Each step may be repeated. No run
// may be at work meanwhile, which the caller sees to.
//
// What may enter: which rows belong to whom. What may not: how a stage makes them.
package forget
