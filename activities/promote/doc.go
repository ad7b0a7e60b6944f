// Package promote decides whether a trained model becomes the next version of a
// named model, by gates over its evaluation, and writes that version.
//
// What belongs here: the gates and what a version names. How models are measured
// is evaluate's, how versions lie in the store is store's.
package promote
