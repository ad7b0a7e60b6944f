package rules

import (
	"iter"
	"strings"
)

// looseVariants yields IFEval's loose variants of a response but the response
// itself, each different text once: the whole without
// stars, then without first line, last line and both, then those without
// stars. Lines end at "\n" only, as in the official checker.
func looseVariants(response string) iter.Seq[string] {
	return func(yield func(string) bool) {
		first := strings.IndexByte(response, '\n')
		last := strings.LastIndexByte(response, '\n')
		noFirst, noLast, neither := "", "", ""
		if first >= 0 {
			noFirst = strip(response[first+1:])
			noLast = strip(response[:last])
			if first < last {
				neither = strip(response[first+1 : last])
			}
		}
		seen := append(make([]string, 0, 8), response)
		offer := func(v string) bool {
			for _, s := range seen {
				if len(s) == len(v) && s == v {
					return true
				}
			}
			seen = append(seen, v)
			return yield(v)
		}
		bases := [...]string{noFirst, noLast, neither}
		if !offer(withoutStars(response)) {
			return
		}
		for _, v := range bases {
			if !offer(v) {
				return
			}
		}
		for _, v := range bases {
			if !offer(withoutStars(v)) {
				return
			}
		}
	}
}

func withoutStars(s string) string {
	if strings.IndexByte(s, '*') < 0 {
		return s
	}
	return strings.ReplaceAll(s, "*", "")
}
