// Package profile brings profiles from files into the profile and turn tables:
// System-IFEval and IFEval as published, and plain profiles, one JSON object a
// line.
//
// Two promises hold for every profile. Each constraint has a span in the system
// message, and whoever renders the message again replaces spans and touches no
// other byte. And a constraint with a rule has a span that demands what the
// rule checks and nothing besides: a row for which that is not certain goes to
// quarantine with the reason, since one wrong span teaches the model the
// opposite of what it reads.
//
// Bad input of a file as a whole (malformed JSON, an unknown field, a doubled
// id) is an error before anything is written.
//
// What may not enter: calls to a model, randomness, clocks.
package profile
