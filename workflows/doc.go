// Package workflows says in which order the steps run and what happens when one
// fails. Deterministic code only: no clock, no I/O, no randomness, no maps
// ranged over. Payloads carry URIs and counts, never rows.
package workflows
