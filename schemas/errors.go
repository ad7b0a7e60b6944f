package schemas

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// ErrorType classifies every failure of this system. The values are public:
// they are the Temporal application error types that retry policies, the
// quarantine and `retry_failed` select by. Add, never rename.
type ErrorType string

const (
	// InvalidInput is a mistake that the person who gave the input can mend.
	InvalidInput ErrorType = "InvalidInput"
	// NotFound is an object, bucket, file or endpoint that does not exist.
	NotFound ErrorType = "NotFound"
	// RateLimited is a server's demand to slow down; RetryAfter may say for how long.
	RateLimited ErrorType = "RateLimited"
	// Overloaded is a server that cannot answer now: a full queue, a 5xx, no connection.
	Overloaded ErrorType = "Overloaded"
	// BudgetExceeded is a cap on tokens, money or time that was reached.
	BudgetExceeded ErrorType = "BudgetExceeded"
	// CorruptData is an object whose bytes are not what its record says, or a
	// reply that is not what the protocol says.
	CorruptData ErrorType = "CorruptData"
	// OutOfMemory is a trainer that needs a smaller token budget.
	OutOfMemory ErrorType = "OutOfMemory"
	// Stalled is a process that lives but makes no progress.
	Stalled ErrorType = "Stalled"
	// Internal is a defect of this program or of a process that it runs.
	Internal ErrorType = "Internal"
)

var errorTypes = []ErrorType{InvalidInput, NotFound, RateLimited, Overloaded, BudgetExceeded, CorruptData, OutOfMemory, Stalled, Internal}

// maxErrorMessage keeps every message under 1 KiB, since Temporal truncates
// the failures of retried activities at 4 KiB and shows them to people.
const maxErrorMessage = 1000

// Error is a classified failure. Its message is lower case, says what was being
// done with which input and, where the user can mend it, names the mend.
type Error struct {
	Type    ErrorType
	Message string
	// RetryAfter is the delay that a server asked for; 0 if it asked for none.
	RetryAfter time.Duration
	// Spent is what the failed work had spent.
	Spent Spending
	// Cause is reachable through errors.Is; its text is part of Message.
	Cause error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause, whose text Message already holds.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes a classified error. A %w operand stays reachable through
// errors.Is and errors.As, and its RetryAfter holds for the new error, too.
func Errorf(t ErrorType, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	out := &Error{Type: t, Message: clip(err.Error()), Cause: errors.Unwrap(err)}
	if cause, ok := errors.AsType[*Error](out.Cause); ok {
		out.RetryAfter = cause.RetryAfter
	}
	return out
}

// clip shortens s to maxErrorMessage bytes on a rune boundary.
func clip(s string) string {
	if len(s) <= maxErrorMessage {
		return s
	}
	cut := maxErrorMessage - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// TypeOf returns the type of the first classified error in err's chain, and
// Internal for an error that nobody classified.
func TypeOf(err error) ErrorType {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Type
	}
	return Internal
}

// Retryable is the one place that decides whether trying the same thing again
// can help.
func Retryable(err error) bool {
	switch TypeOf(err) {
	case RateLimited, Overloaded, Stalled, Internal:
		return true
	default:
		return false
	}
}
