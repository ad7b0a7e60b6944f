package schemas

import "time"

// RetryOptions say how patiently the work on a shard is tried again. They change
// nothing that is made.
type RetryOptions struct {
	// RetryInterval is the delay before a shard is tried again. It doubles from
	// attempt to attempt, up to 60 times as long. Default 1s.
	RetryInterval Duration `json:"retry_interval,omitempty"`
	// MaxAttempts is how often a shard is tried before it counts as failed. Default
	// 40. A defect or a hang counts as failed after a quarter of that, or 10 attempts
	// if these are more.
	MaxAttempts int `json:"max_attempts,omitempty"`
}

// SetDefaults gives a shard half an hour, and three hours where an endpoint is out:
// then its circuit breaker asks for up to 5 minutes between attempts (15, 30, 60,
// 120 and 240 seconds, then 34 times 300). A waiting shard holds no worker and
// writes no history, and one whose endpoint comes back goes on without anybody's
// doing. What lasts longer parks the stage, since then a person should choose:
// wait, or name another endpoint.
func (o *RetryOptions) SetDefaults() {
	setDefault(&o.RetryInterval, Duration(time.Second))
	setDefault(&o.MaxAttempts, 40)
}

// Validate refuses what would be no retry, or one without end.
func (o RetryOptions) Validate() error {
	switch {
	case o.RetryInterval < Duration(100*time.Millisecond) || o.RetryInterval > Duration(time.Hour):
		return invalid("retry_interval", "%s is not between 100ms and 1h", time.Duration(o.RetryInterval))
	case o.MaxAttempts < 2 || o.MaxAttempts > 1000:
		return invalid("max_attempts", "%d is not between 2 and 1000", o.MaxAttempts)
	}
	return nil
}
