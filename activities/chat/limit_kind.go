package chat

import (
	"math/bits"
	"time"
)

// kind tells requests apart that take differently long per token of output: a
// verdict in JSON is short and waits for a long prompt to be read, a sample is
// long. Without it a stage that follows another would look like an overload.
type kind struct {
	schema string
	// size is the number of bits of the token limit.
	size, choices int
}

func kindOf(r Request) kind { return kind{r.SchemaName, bits.Len(uint(r.MaxTokens)), r.N} }

// maxKinds bounds what is kept; further kinds are taken together.
const maxKinds = 64

// usual is how long requests of one kind take per token.
type usual struct {
	window  window
	seconds float64
}

// usualAnswers make a figure; a later one counts only if it is plainly lower, so
// that what is measured by it stays comparable.
const (
	usualAnswers = 16
	plainlyLower = 0.9
)

// due is the time that an answer with so many tokens usually takes at most, where
// nothing waits. It learns from the time that this one took.
func (u *usual) due(took time.Duration, tokens int64) time.Duration {
	u.window.add(took, time.Duration(tokens)*time.Second)
	perToken := u.seconds
	if perToken == 0 {
		perToken = u.window.cost()
	}
	if u.window.answers >= usualAnswers {
		if cost := u.window.cost(); u.seconds == 0 || cost < plainlyLower*u.seconds {
			u.seconds = cost
		}
		u.window = window{}
	}
	return time.Duration(perToken * float64(tokens) * float64(time.Second))
}

// usualOf is that of a request's kind. l.mu must be held.
func (l *limiter) usualOf(k kind) *usual {
	u := l.kinds[k]
	if u == nil && len(l.kinds) >= maxKinds {
		u = l.kinds[kind{}]
		k = kind{}
	}
	if u == nil {
		u = &usual{}
		l.kinds[k] = u
	}
	return u
}
