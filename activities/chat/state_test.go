package chat

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rpo/schemas"
)

func TestTheStateTellsWhatIsUnderWayWhatWaitsAndWhatBecameOfTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reply := make(chan func() (Response, error))
		c := chain(Endpoint{MaxConcurrency: 2}, func(ctx context.Context, _ Request) (Response, error) {
			select {
			case r := <-reply:
				return r()
			case <-ctx.Done():
				return Response{}, ctx.Err()
			}
		})
		var group sync.WaitGroup
		ctx, giveUp := context.WithCancel(t.Context())
		for range 5 {
			group.Go(func() { c.exchange(ctx, Request{N: 1}) })
		}
		synctest.Wait()
		if s := c.State(); s.Level != 2 || s.Most != 2 || s.UnderWay != 2 || s.Waiting != 3 || s.Breaker != "closed" || s.Ended != (Ended{}) {
			t.Errorf("at work: %+v", s)
		}
		reply <- fine
		reply <- func() (Response, error) { return busy(0) }
		reply <- func() (Response, error) { return Response{}, schemas.Errorf(schemas.InvalidInput, "too long") }
		synctest.Wait()
		giveUp()
		group.Wait()
		s := c.State()
		if s.UnderWay != 0 || s.Waiting != 0 || s.Ended != (Ended{Answered: 1, Refused: 1, Rejected: 1, GivenUp: s.Ended.GivenUp}) || s.Ended.GivenUp == 0 {
			t.Errorf("at rest: %+v", s)
		}
		if all := NewReplicated(c, c).States(); len(all) != 2 || all[1] != s {
			t.Errorf("replicas: %+v", all)
		}
	})
}

func TestTheStateTellsThatTheBreakerOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := chain(Endpoint{}, func(context.Context, Request) (Response, error) { time.Sleep(time.Second); return broken() })
		for range 100 {
			c.exchange(t.Context(), Request{N: 1})
		}
		if s := c.State(); s.Breaker != "open" || s.Opened == 0 || s.Ended.Failed < 2 {
			t.Errorf("state %+v, want an open breaker", s)
		}
	})
}
