package schemas

import (
	"strings"
	"testing"
	"time"
)

func TestRetriesHaveDefaultsAndBounds(t *testing.T) {
	var o RunOptions
	o.SetDefaults()
	if err := o.Validate(); err != nil || o.RetryInterval != Duration(time.Second) || o.MaxAttempts != 40 {
		t.Fatalf("%+v: %v", o, err)
	}
	for field, change := range map[string]func(*RunOptions){
		"retry_interval": func(o *RunOptions) { o.RetryInterval = Duration(time.Millisecond) },
		"max_attempts":   func(o *RunOptions) { o.MaxAttempts = 1 },
	} {
		bad := o
		change(&bad)
		if err := bad.Validate(); TypeOf(err) != InvalidInput || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
