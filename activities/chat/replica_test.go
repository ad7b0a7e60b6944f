package chat_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rpo/activities/chat"
	"rpo/activities/chat/chattest"
	"rpo/activities/chat/scripted"
	"rpo/schemas"
)

// fleet is some scripted servers behind one Replicated, whose clock only the test
// moves.
type fleet struct {
	servers []*scripted.Server
	*chat.Replicated
	clock   atomic.Int64
	clients []*chat.Client
	waits   []*chat.Waits
}

// pass lets time go by.
func (f *fleet) pass(seconds int) {
	f.clock.Add(int64(seconds))
	for _, w := range f.waits {
		w.Advance(time.Duration(seconds) * time.Second)
	}
}

func startFleet(t *testing.T, size int, handler func(server int, p scripted.Parsed) scripted.Reply) *fleet {
	t.Helper()
	f := &fleet{}
	for i := range size {
		server := scripted.New(t, func(p scripted.Parsed) scripted.Reply { return handler(i, p) })
		f.servers = append(f.servers, server)
		client, waits := open(t, server.URL)
		f.clients, f.waits = append(f.clients, client), append(f.waits, waits)
	}
	f.Replicated = chat.NewReplicated(f.clients...)
	chat.SetClock(f.Replicated, func() time.Time { return time.Unix(f.clock.Load(), 0) })
	return f
}

// asked completes a request and returns the server that had it. It counts those
// that were asked in vain, too.
func (f *fleet) asked(t *testing.T, affinity string) (answered int, inVain []int) {
	t.Helper()
	before := make([]scripted.Stats, len(f.servers))
	for i, s := range f.servers {
		before[i] = s.Stats()
	}
	req := ask(2)
	req.Affinity = affinity
	if _, err := f.Complete(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	answered = -1
	for i, s := range f.servers {
		switch now := s.Stats(); {
		case now.Answered > before[i].Answered:
			answered = i
		case now.Requests > before[i].Requests:
			inVain = append(inVain, i)
		}
	}
	return answered, inVain
}

func healthy(_ int, p scripted.Parsed) scripted.Reply { return echo(p) }

func TestReplicasPassTheAcceptanceSuite(t *testing.T) {
	chattest.Run(t, func(t *testing.T) chat.Completer { return startFleet(t, 3, healthy) }, chattest.Options{Reproducible: true, Schema: true})
}

func TestEqualAffinityGoesToOneReplicaAndAllReplicasGetSome(t *testing.T) {
	f := startFleet(t, 3, healthy)
	counts := map[int]int{}
	for i := range 60 {
		affinity := fmt.Sprintf("dialogue %d", i)
		first, _ := f.asked(t, affinity)
		if second, _ := f.asked(t, affinity); second != first {
			t.Errorf("%s went to %d and then to %d", affinity, first, second)
		}
		counts[first]++
	}
	for i := range 3 {
		if counts[i] < 8 {
			t.Errorf("the replicas got %v of 60 dialogues", counts)
		}
	}
}

func TestARequestWithoutAffinityGoesToTheLeastBusyReplica(t *testing.T) {
	f := startFleet(t, 3, func(_ int, p scripted.Parsed) scripted.Reply { return scripted.Hang(p.Last()) })
	limit, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var calls sync.WaitGroup
	for i := range 6 {
		calls.Go(func() {
			if _, err := f.Complete(t.Context(), ask(1)); err != nil {
				t.Error(err)
			}
		})
		at := f.servers[i%3]
		if err := at.Await(limit, func(s scripted.Stats) bool { return s.InFlight == i/3+1 }); err != nil {
			t.Fatalf("request %d is not at replica %d: %+v", i, i%3, at.Stats())
		}
	}
	for _, s := range f.servers {
		s.Release()
	}
	calls.Wait()
}

func TestAReplicaThatIsDownIsPassedOverAndComesBack(t *testing.T) {
	var down atomic.Int64
	down.Store(-1)
	f := startFleet(t, 3, func(i int, p scripted.Parsed) scripted.Reply {
		if int64(i) == down.Load() {
			return scripted.Refuse(500, "out of order")
		}
		return echo(p)
	})
	home := map[string]int{}
	for i := range 12 {
		affinity := fmt.Sprintf("dialogue %d", i)
		home[affinity], _ = f.asked(t, affinity)
	}
	lost := home["dialogue 0"]
	down.Store(int64(lost))

	// The first request notices, the next do not even ask.
	moved := map[string]int{}
	for i := range 12 {
		affinity := fmt.Sprintf("dialogue %d", i)
		to, inVain := f.asked(t, affinity)
		if home[affinity] != lost && to != home[affinity] {
			t.Errorf("%s left replica %d, which is up", affinity, home[affinity])
		}
		if i == 0 != (len(inVain) == 1) {
			t.Errorf("request %d asked %v in vain", i, inVain)
		}
		moved[affinity] = to
	}
	// After a while one request tries it; as long as it is down, the others keep
	// their second home.
	f.pass(20)
	tried := 0
	for i := range 12 {
		affinity := fmt.Sprintf("dialogue %d", i)
		to, inVain := f.asked(t, affinity)
		tried += len(inVain)
		if to != moved[affinity] {
			t.Errorf("%s went to %d, then to %d", affinity, moved[affinity], to)
		}
	}
	if tried != 1 {
		t.Errorf("%d requests tried the replica that is down", tried)
	}
	down.Store(-1)
	f.pass(20)
	for affinity, want := range home {
		if to, _ := f.asked(t, affinity); to != want {
			t.Errorf("%s goes to %d although %d is back", affinity, to, want)
		}
	}
}

func TestChoicesOfAFailingReplicaAreKeptAndTheRestAskedElsewhere(t *testing.T) {
	f := startFleet(t, 2, func(i int, p scripted.Parsed) scripted.Reply {
		if p.N == 1 {
			return echo(p)
		}
		return scripted.Say(echo(p).Texts[0]) // one choice at a time
	})
	req := ask(4)
	req.Affinity = "some dialogue"
	_, _ = f.Complete(t.Context(), req) // probe both ways
	first := 0
	if f.servers[1].Stats().Requests > 0 {
		first = 1
	}
	f.servers[first].Fail(echo(scripted.Parsed{Messages: []schemas.Message{{Content: "hello"}}, N: 1, Seed: 40}),
		scripted.Refuse(500, "x"), scripted.Refuse(500, "x"), scripted.Refuse(500, "x"), scripted.Refuse(500, "x"), scripted.Refuse(500, "x"))
	got, err := f.Complete(t.Context(), req)
	want := []string{"hello seed 40", "hello seed 41", "hello seed 42", "hello seed 43"}
	if err != nil || !reflect.DeepEqual(texts(got), want) || got.Usage.CompletionTokens != 12 || !got.Usage.Known || got.Calls != 6+3 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhenNoReplicaAnswersTheErrorSaysWhy(t *testing.T) {
	f := startFleet(t, 2, func(int, scripted.Parsed) scripted.Reply { return scripted.Refuse(500, "out of order") })
	for range 2 { // also when both are passed over
		_, err := f.Complete(t.Context(), ask(1))
		if schemas.TypeOf(err) != schemas.Overloaded || !strings.Contains(err.Error(), "out of order") {
			t.Errorf("error is %v", err)
		}
	}
	refusing := startFleet(t, 2, func(int, scripted.Parsed) scripted.Reply { return scripted.Refuse(400, "too long") })
	_, err := refusing.Complete(t.Context(), ask(1))
	if schemas.TypeOf(err) != schemas.InvalidInput || refusing.servers[0].Stats().Requests+refusing.servers[1].Stats().Requests != 1 {
		t.Errorf("a request that is wrong everywhere was repeated: %v", err)
	}
}

func TestOpenMakesAsManyClientsAsThereAreAddresses(t *testing.T) {
	server, other := scripted.New(t, echo), scripted.Start(t, scripted.Config{Models: []string{"another"}}, echo)
	gone := scripted.New(nil, echo)
	gone.Close()
	for _, test := range []struct {
		name     string
		replicas []string
		kind     schemas.ErrorType
	}{
		{"one address", nil, ""},
		{"one of two is down", []string{gone.URL}, ""},
		{"one serves another model", []string{gone.URL, other.URL}, schemas.NotFound},
	} {
		c, err := chat.Open(chat.Endpoint{Name: "sampler", URL: server.URL, Model: "scripted", Replicas: test.replicas})
		if err != nil {
			t.Fatal(err)
		}
		if _, one := c.(*chat.Client); one != (test.replicas == nil) {
			t.Errorf("%s: opened %T", test.name, c)
		}
		if err := c.Check(t.Context()); err != nil && schemas.TypeOf(err) != test.kind || err == nil && test.kind != "" {
			t.Errorf("%s: %v", test.name, err)
		}
		if found, err := c.Capabilities(t.Context()); err != nil || found.N != "honoured" {
			t.Errorf("%s: %+v, %v", test.name, found, err)
		}
		c.Close()
	}
	if _, err := chat.Open(chat.Endpoint{Name: "sampler", URL: server.URL, Replicas: []string{"ftp://h"}}); !strings.Contains(fmt.Sprint(err), "replicas[0]") {
		t.Errorf("a bad replica gives %v", err)
	}
}

func TestWithAnErrorTheFirstChoicesThatWerePaidComeBack(t *testing.T) {
	for name, config := range map[string]scripted.Config{"n ignored": {MaxChoices: 1}, "n refused": {RefuseN: true}, "in portions": {MaxChoices: 2}} {
		server := scripted.Start(t, config, func(p scripted.Parsed) scripted.Reply {
			if p.Seed >= 42 {
				return scripted.Refuse(401, "the key was changed")
			}
			return echo(p)
		})
		client, _ := open(t, server.URL)
		got, err := client.Complete(t.Context(), ask(5))
		if !errors.Is(err, chat.ErrEndpoint) {
			t.Fatalf("%s: error %v", name, err)
		}
		if want := []string{"hello seed 40", "hello seed 41"}; !reflect.DeepEqual(texts(got), want) {
			t.Errorf("%s: choices %q, want %q", name, texts(got), want)
		}
		if calls := server.Stats().Requests; got.Calls != calls || got.Usage != (chat.Usage{PromptTokens: got.Usage.PromptTokens, CompletionTokens: 6, Known: true}) {
			t.Errorf("%s: %d calls of %d, usage %+v", name, got.Calls, calls, got.Usage)
		}
	}
}

func TestTheRateIsThatOfAllReplicas(t *testing.T) {
	f := startFleet(t, 2, healthy)
	if _, ok := f.Rate(); ok {
		t.Error("a rate is known before the first reply")
	}
	for _, one := range f.clients {
		if _, err := one.Capabilities(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.pass(120) // what the probes answered is forgotten
	// Which server has a dialogue depends on its port, so what is wanted does, too:
	// each replica's rate is counted from its first reply.
	const dialogues = 20
	tokens, first := [2]float64{}, [2]int{}
	for i := range dialogues {
		server, _ := f.asked(t, fmt.Sprintf("dialogue %d", i))
		if tokens[server] == 0 {
			first[server] = i
		}
		tokens[server] += 6 // two choices of three tokens
		f.pass(1)
	}
	want := 0.0
	for server, n := range tokens {
		if span := dialogues - first[server]; n > 0 {
			want += n / float64(span)
		}
	}
	if rate, ok := f.Rate(); !ok || math.Abs(rate-want) > 1e-6 {
		t.Errorf("%v tokens a second, %v, want %v", rate, ok, want)
	}
}
