package scripted_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat/scripted"
)

const body = `{"model":"m","messages":[{"role":"user","content":"a b"}],"n":2,"seed":5}`

func post(t *testing.T, s *scripted.Server, body string) (int, string) {
	t.Helper()
	reply, err := http.Post(s.URL+"/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer reply.Body.Close()
	text, _ := io.ReadAll(reply.Body)
	return reply.StatusCode, string(text)
}

func TestRepeatedAndRefusedRequestsAreCounted(t *testing.T) {
	s := scripted.Start(t, scripted.Config{FailFirst: &scripted.Reply{Status: 503}}, func(p scripted.Parsed) scripted.Reply {
		return scripted.Say("x", "y")
	})
	for i, want := range []int{503, 200, 200} {
		if status, text := post(t, s, body); status != want {
			t.Errorf("request %d: %d %s", i, status, text)
		}
	}
	if status, _ := post(t, s, `{"n":`); status != 400 {
		t.Errorf("a broken request got %d", status)
	}
	if got, want := s.Stats(), (scripted.Stats{Requests: 4, Answered: 2, Refused: 2, Repeated: 1, MaxInFlight: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRequestsAboveCapacityAreRefusedAndHungOnesReleased(t *testing.T) {
	s := scripted.Start(t, scripted.Config{Capacity: 2}, func(scripted.Parsed) scripted.Reply { return scripted.Hang("late") })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if status, text := post(t, s, body); status != 200 || !strings.Contains(text, "late") {
				t.Errorf("a released request got %d %s", status, text)
			}
		})
	}
	if err := s.Await(ctx, func(c scripted.Stats) bool { return c.InFlight == 2 }); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, s, body); status != 503 {
		t.Errorf("a third request got %d", status)
	}
	s.Release()
	group.Wait()
	if got := s.Stats(); got.Answered != 2 || got.MaxInFlight != 3 || got.InFlight != 0 {
		t.Errorf("counted %+v", got)
	}
}
