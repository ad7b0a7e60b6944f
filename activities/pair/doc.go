// Package pair builds training pairs without noise: for every two responses of
// a turn it reverses, in the instruction, what the chosen one fails
// (arXiv 2505.22172, section 3.2).
//
// What belongs here: which responses pair, which constraints are reversed, g,
// and the check that the chosen response is perfect for its own prompt.
package pair
