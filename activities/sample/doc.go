// Package sample draws the policy's responses to every dialogue turn
// (arXiv 2505.22172, section 3.3: N = 5 at temperature 1).
//
// What belongs here: turning a turn into a request and the reply into response
// rows. How the endpoint is called is chat's matter, judging is judge's.
package sample
