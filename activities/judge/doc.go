// Package judge decides for every response which of its turn's triggered
// constraints it follows: by rule where there is one, and by a judge model for
// the rest (arXiv 2505.22172, section 3.3).
//
// What belongs here: verdicts, the judge's prompt and the validation of its
// reply. Rules live in the package rules below. A verdict never depends on what
// a response says about itself: the prompt delimits it with a nonce and the
// reply is matched by constraint id.
package judge
