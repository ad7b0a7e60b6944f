// Package pair builds training pairs without noise: for every two responses of
// a turn it reverses, in the instruction, what the chosen one fails
// (arXiv 2505.22172, section 3.2). From the same responses it makes the data of
// the baselines DPO, KTO and SFT.
//
// What belongs here: which responses pair, which constraints are reversed, g,
// the check that the chosen response is perfect for its own prompt, and what is
// left out: duplicates, pairs by margin, number and length, evaluation prompts.
package pair
