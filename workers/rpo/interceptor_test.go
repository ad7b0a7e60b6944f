package main

import (
	"context"
	"testing"

	"go.temporal.io/sdk/interceptor"
)

// heard notes the contexts of heartbeats.
type heard struct {
	interceptor.ActivityOutboundInterceptorBase
	last    context.Context
	details []any
}

func (h *heard) RecordHeartbeat(ctx context.Context, details ...any) {
	h.last, h.details = ctx, details
}

func TestAHeartbeatOfAPartThatEndedDoesNotEndTheActivity(t *testing.T) {
	h := &heard{}
	out := &outbound{activity: t.Context()}
	out.Next = h
	part, end := context.WithCancel(t.Context())
	end()
	out.RecordHeartbeat(part, 7)
	if h.last == nil || h.last.Err() != nil || h.details[0] != 7 {
		t.Errorf("sent %v with a context that has ended: %v", h.details, h.last)
	}
	h.last = nil
	out.repeat()
	if h.last == nil || h.last.Err() != nil || h.details[0] != 7 {
		t.Errorf("repeated %v with %v", h.details, h.last)
	}
}
