// Package profile brings profiles into the profile and turn tables: from files,
// System-IFEval and IFEval as published and plain profiles, one JSON object a
// line; and from seeds by a language model, which expands a short description
// into a profile or a persona, or finds the constraints of a system prompt. A
// second call checks what the first one wrote.
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
// What a model writes is cut into single lines and put into a frame of our own,
// so that it cannot forge one; of a system prompt it may only point at places.
//
// What may not enter: calls to a model in import, randomness, clocks.
package profile
