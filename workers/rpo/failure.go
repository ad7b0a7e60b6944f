package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.temporal.io/sdk/temporal"

	"rpo/schemas"
)

// plainFailure finds in a failed workflow's chain of errors the one that a
// person can act on: the innermost application error.
func plainFailure(err error) error {
	var innermost *temporal.ApplicationError
	for e := err; e != nil; e = errors.Unwrap(e) {
		if a, ok := e.(*temporal.ApplicationError); ok {
			innermost = a
		}
	}
	if innermost == nil {
		return err
	}
	return &schemas.Error{Type: schemas.ErrorType(innermost.Type()), Message: innermost.Message(), Cause: err}
}

// mostFrequent lists at most limit keys with their counts, largest first, and
// says how many more there are.
func mostFrequent(counts map[string]int, limit int) []string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var out []string
	for _, k := range keys[:min(limit, len(keys))] {
		out = append(out, fmt.Sprintf("%d: %s", counts[k], k))
	}
	if len(keys) > limit {
		out = append(out, fmt.Sprintf("and %d other reasons", len(keys)-limit))
	}
	return out
}
