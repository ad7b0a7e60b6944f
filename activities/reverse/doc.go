// Package reverse makes the exact complement of every constraint
// (arXiv 2505.22172, section 3.2) and puts complements into a system message.
//
// What belongs here: opposites, by rule or written by a model, what refuses one,
// by what it says or by a second call, and the rendering of reversed
// instructions. Which constraints of a response are reversed is pair's decision.
package reverse
