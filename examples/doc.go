// Package examples holds the example inputs, so that the program can seed a Temporal
// with a run of each workflow: one JSON object per workflow type, and in seed/ the
// small data set that the runs are made on.
//
// What does not belong here: code.
package examples

import "embed"

// Files are the examples: <WorkflowType>.json and seed/*.jsonl.
//
//go:embed *.json seed/*.jsonl
var Files embed.FS
