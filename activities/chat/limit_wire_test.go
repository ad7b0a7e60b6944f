package chat_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/scripted"
)

func TestACrowdIsServedByAnEndpointThatRefusesMostOfIt(t *testing.T) {
	for name, queue := range map[string]scripted.Queue{
		"503 beyond its slots":       {Slots: 6, PerRequest: 20 * time.Millisecond},
		"503 beyond its queue":       {Slots: 4, Length: 4, PerRequest: 20 * time.Millisecond},
		"429 that asks for a second": {Slots: 6, PerRequest: 20 * time.Millisecond, Status: http.StatusTooManyRequests, RetryAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := scripted.Start(t, scripted.Config{Queue: &queue}, echo)
			client, err := chat.New(chat.Endpoint{Name: "sampler", URL: server.URL, Model: "scripted"})
			if err != nil {
				t.Fatal(err)
			}
			const calls = 400
			var group sync.WaitGroup
			for i := range calls {
				group.Go(func() {
					req := ask(1)
					req.Seed = int64(i)
					got, err := client.Complete(t.Context(), req)
					if err != nil || len(got.Choices) != 1 || got.Choices[0].Text != fmt.Sprintf("hello seed %d", i) {
						t.Errorf("call %d: %+v, %v", i, got, err)
					}
				})
			}
			group.Wait()
			got := server.QueueStats()
			// Blind callers would have been refused hundreds of times.
			if got.Answered != calls || got.Refused == 0 || got.Refused > calls/10 {
				t.Errorf("%d answered, %d refused", got.Answered, got.Refused)
			}
			if s := server.Stats(); s.Repeated != 0 || s.MaxInFlight > 24 {
				t.Errorf("%+v", s)
			}
			if rate, ok := client.Rate(); !ok || rate <= 0 {
				t.Errorf("a rate of %v, %v", rate, ok)
			}
		})
	}
}
