package workflows

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"rpo/schemas"
)

func TestEveryErrorTypeBecomesAnApplicationErrorOfThatType(t *testing.T) {
	retryable := map[schemas.ErrorType]bool{
		schemas.InvalidInput: false, schemas.NotFound: false, schemas.RateLimited: true, schemas.Overloaded: true, schemas.BudgetExceeded: false,
		schemas.CorruptData: false, schemas.OutOfMemory: false, schemas.Stalled: true, schemas.Internal: true,
	}
	for errorType, again := range retryable {
		for _, err := range []error{
			schemas.Errorf(errorType, "read shard 3"),
			fmt.Errorf("outer: %w", schemas.Errorf(errorType, "read shard 3")),
		} {
			e, ok := errors.AsType[*temporal.ApplicationError](ApplicationError(err))
			if !ok {
				t.Fatalf("%s: no application error", errorType)
			}
			if e.Type() != string(errorType) || e.Message() != err.Error() || e.NonRetryable() == again || e.NextRetryDelay() != 0 {
				t.Errorf("%s: got %s: %s, non-retryable %v, delay %s", errorType, e.Type(), e.Message(), e.NonRetryable(), e.NextRetryDelay())
			}
			if gotType, message := failureOf(e); gotType != string(errorType) || message != err.Error() {
				t.Errorf("%s: read as %s: %s", errorType, gotType, message)
			}
		}
	}
}

func TestAServersDelayIsPassedOn(t *testing.T) {
	err := schemas.Errorf(schemas.RateLimited, "refused")
	err.RetryAfter = 17 * time.Second
	e, _ := errors.AsType[*temporal.ApplicationError](ApplicationError(fmt.Errorf("outer: %w", err)))
	if e.NextRetryDelay() != 17*time.Second || e.NonRetryable() {
		t.Errorf("delay %s, non-retryable %v", e.NextRetryDelay(), e.NonRetryable())
	}
}

func TestErrorsThatNeedNoTranslationPassUnchanged(t *testing.T) {
	if ApplicationError(nil) != nil {
		t.Error("no error became one")
	}
	for _, err := range []error{temporal.NewCanceledError(), temporal.NewApplicationError("m", "T"), fmt.Errorf("outer: %w", temporal.NewCanceledError())} {
		if got := ApplicationError(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestACallThatACancelledContextEndedStaysRecognizable(t *testing.T) {
	for _, err := range []error{context.Canceled, schemas.Errorf(schemas.Overloaded, "call endpoint: %w", context.Canceled)} {
		got := ApplicationError(err)
		if !errors.Is(got, context.Canceled) || !temporal.IsApplicationError(got) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if errors.Is(ApplicationError(schemas.Errorf(schemas.Overloaded, "slow: %w", context.DeadlineExceeded)), context.Canceled) {
		t.Error("a timeout became a cancellation")
	}
}

func TestFailuresOfTemporalAreClassified(t *testing.T) {
	timeout := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil)
	for _, c := range []struct {
		err  error
		want schemas.ErrorType
	}{
		{timeout, schemas.Stalled},
		{fmt.Errorf("activity: %w", timeout), schemas.Stalled},
		{temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, ApplicationError(overloaded)), schemas.Overloaded},
		{errors.New("unknown"), schemas.Internal},
	} {
		if got, message := failureOf(c.err); got != string(c.want) || message == "" {
			t.Errorf("%v: got %s: %q, want %s", c.err, got, message, c.want)
		}
	}
}

func TestWhatACancellationEndedIsCancelledAndNotFailed(t *testing.T) {
	for want, errs := range map[string][]error{
		schemas.StatusDone:     {nil},
		schemas.StatusCanceled: {temporal.NewCanceledError(), fmt.Errorf("stage: %w", temporal.NewCanceledError())},
		schemas.StatusFailed:   {errors.New("x"), temporal.NewApplicationError("m", "Overloaded"), ApplicationError(schemas.Errorf(schemas.Overloaded, "x: %w", context.Canceled))},
	} {
		for _, err := range errs {
			if got := ended(err); got != want {
				t.Errorf("%v: %s, want %s", err, got, want)
			}
		}
	}
}

func TestDefectsAreTriedLessOftenThanOutages(t *testing.T) {
	for _, c := range []struct {
		errorType     schemas.ErrorType
		attempt, most int32
		last          bool
	}{
		{schemas.Overloaded, 1000, 40, false}, {schemas.RateLimited, 39, 40, false},
		{schemas.Internal, 9, 40, false}, {schemas.Internal, 10, 40, true}, {schemas.Stalled, 10, 40, true},
		{schemas.Internal, 9, 0, false}, {schemas.Internal, 10, 0, true}, {schemas.Internal, 10, 400, false}, {schemas.Internal, 100, 400, true},
		{schemas.InvalidInput, 1, 40, true},
	} {
		err := AttemptError(schemas.Errorf(c.errorType, "x"), c.attempt, c.most)
		if e, ok := errors.AsType[*temporal.ApplicationError](err); !ok || e.NonRetryable() != c.last || e.Type() != string(c.errorType) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	cancelled := temporal.NewCanceledError()
	if AttemptError(nil, 50, 40) != nil || AttemptError(cancelled, 50, 40) != error(cancelled) {
		t.Error("no error, or Temporal's own, did not pass unchanged")
	}
}
