// Package rules decides constraints without a model: a rule is a deterministic
// check of one response, free, fast and the same every time.
//
// Three named profiles of semantics live here. "rpo" holds the rules of our
// own. "ifeval" equals the official IFEval checkers verdict by verdict and
// "multi_if" those of Multi-IF, their quirks included; a quirk is mended under
// a new profile name, never in place. The profile's version stands in every
// verdict row.
//
// The opposite of a rule is again a rule, by construction: for every response
// that is not blank exactly one of the two passes, and a blank response passes
// neither. Only strict verdicts have this property, so only they build pairs.
//
// What may not enter: calls to a model, clocks, files, network, and any state
// that could make two verdicts on one text differ.
package rules
