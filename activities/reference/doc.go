// Package reference computes, once, the log-probabilities of all responses that a
// loss trains on under the policy that training starts from: of the pairs, and of
// the baselines' tables where the manifest has them.
//
// What belongs here: the pass over the rows and the check that it left no gap.
package reference
