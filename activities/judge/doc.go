// Package judge decides for every response which of its turn's triggered
// constraints it follows: by rule where there is one, and by judge models for
// the rest (arXiv 2505.22172, section 3.3). Several votes must agree, else the
// constraint is abstained from.
//
// What belongs here: verdicts, votes, the judge's prompt, the validation of its
// reply, and the comparison of judges with rules. Rules live in the package rules
// below. A verdict never depends on what a response says about itself: the prompt
// delimits it with a tag that it cannot hold, and the reply is matched by
// constraint id.
package judge
