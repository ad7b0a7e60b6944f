// Package experiment compares the arms of an experiment: trainings on the same
// rows, each evaluated on the same held-out turns.
//
// What belongs here: what the arms need before they start, the table of their
// figures and its page. How an arm is trained and measured is train's and
// evaluate's; which arm runs when is the workflow's.
package experiment
