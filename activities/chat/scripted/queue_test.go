package scripted_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat/scripted"
)

func threeWords(scripted.Parsed) scripted.Reply { return scripted.Say("one two three") }

func TestAQueueRefusesWhatIsBeyondItsSlotsAndPlaces(t *testing.T) {
	for _, c := range []struct {
		queue scripted.Queue
		takes int
		says  int
		after string
	}{
		{scripted.Queue{Slots: 2, PerRequest: time.Hour}, 2, 503, ""},
		{scripted.Queue{Slots: 1, Length: 2, PerRequest: time.Hour}, 3, 503, ""},
		{scripted.Queue{Slots: 2, Length: 1, PerRequest: time.Hour, Status: 429, RetryAfter: 7 * time.Second}, 3, 429, "7"},
	} {
		s := scripted.Start(t, scripted.Config{Queue: &c.queue}, threeWords)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range c.takes {
			group.Go(func() {
				r, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/chat/completions", strings.NewReader(body))
				if reply, err := http.DefaultClient.Do(r); err == nil {
					reply.Body.Close()
					t.Errorf("%+v: a request that should be taken got %d", c.queue, reply.StatusCode)
				}
			})
		}
		limit, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if err := s.Await(limit, func(n scripted.Stats) bool { return n.InFlight == c.takes }); err != nil {
			t.Fatal(err)
		}
		// A request in flight may not have reached the queue yet.
		for q := s.QueueStats(); q.Running+q.Waiting < c.takes; q = s.QueueStats() {
			if time.Sleep(time.Millisecond); limit.Err() != nil {
				t.Fatalf("%+v: %+v", c.queue, q)
			}
		}
		reply, err := http.Post(s.URL+"/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if got := s.QueueStats(); reply.StatusCode != c.says || reply.Header.Get("Retry-After") != c.after || got.Refused != 1 || got.Answered != 0 {
			t.Errorf("%+v: status %d, Retry-After %q, %+v", c.queue, reply.StatusCode, reply.Header.Get("Retry-After"), got)
		}
		cancel()
		group.Wait()
		if err := s.Await(limit, func(n scripted.Stats) bool { return n.InFlight == 0 }); err != nil {
			t.Errorf("%+v: abandoned requests keep their slots: %+v", c.queue, s.QueueStats())
		}
	}
}

func TestAQueueWithoutEndRefusesNobodyAndWorksOnEachForItsTokens(t *testing.T) {
	q := scripted.Queue{Slots: 3, Length: -1, PerRequest: time.Millisecond, PerToken: time.Millisecond}
	s := scripted.Start(t, scripted.Config{Queue: &q}, threeWords)
	began := time.Now()
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if status, text := post(t, s, body); status != 200 || !strings.Contains(text, "one two three") {
				t.Errorf("got %d %s", status, text)
			}
		})
	}
	group.Wait()
	got := s.QueueStats()
	if got.Answered != 30 || got.Refused != 0 || got.Worked != 30*4*time.Millisecond || got.Held < got.Worked || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
	if least := 10 * 4 * time.Millisecond; time.Since(began) < least {
		t.Errorf("three slots did in %s what takes %s", time.Since(began), least)
	}
}
