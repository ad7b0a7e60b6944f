// Package dialogue plays dialogues between a simulated user and a strong
// responder (arXiv 2505.22172, section 3.3): a query that triggers constraints,
// which constraints it triggers, and a response good enough to be the history of
// the turns after it.
//
// What belongs here: the parts that models play, their prompts, the validation
// of their replies, and when a dialogue ends. Whether a response follows its
// constraints is judge's decision. A dialogue is a pure function of its profile,
// its persona and the replies: all requests derive from these, so that a retry
// asks the same and the call cache answers.
//
// # What counts as a repeat
//
// Queries are compared without case, punctuation and blanks. A query is refused
// if it equals an earlier one, if both begin with the same five words, or if the
// character pairs of both, or of their first clauses, agree by more than 0.6
// (Dice's coefficient). A Chinese character is a word; a first clause has at
// least four words. A refused query is asked for again, with the reason, at most
// three times a turn.
//
// A query is kept as the user model wrote it, emoji included: a constraint may
// speak of them, and what the policy is trained on should be what users write.
package dialogue
