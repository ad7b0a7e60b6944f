// Package reference computes, once, the log-probabilities of all chosen and
// rejected responses under the policy that training starts from.
//
// What belongs here: the pass over the pairs and the check that it left no gap.
package reference
