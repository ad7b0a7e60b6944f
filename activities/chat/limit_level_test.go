package chat

import (
	"math/rand/v2"
	"testing"
	"time"
)

var noon = time.Unix(1_700_000_000, 0)

// sendAll stamps requests until the limit is reached.
func sendAll(l *level) []stamp {
	var out []stamp
	for len(out) < l.limit {
		out = append(out, l.sent(len(out)+1))
	}
	return out
}

// rounds has n rounds of requests answered, each taking what cost says for the
// number under way.
func rounds(l *level, n int, busy bool, cost func(underWay int) time.Duration) {
	for range n {
		for _, s := range sendAll(l) {
			l.answered(s, cost(l.limit), time.Second, busy, noon)
		}
	}
}

func steady(int) time.Duration { return time.Second }

func TestTheLevelDoublesEveryRoundUntilItsBound(t *testing.T) {
	l := newLevel(100)
	for _, want := range []int{8, 16, 32, 64, 100, 100} {
		if rounds(&l, 1, true, steady); l.limit != want {
			t.Fatalf("the limit is %d, want %d", l.limit, want)
		}
	}
}

func TestTheLevelDoesNotGrowWhileItIsNotTheBottleneck(t *testing.T) {
	l := newLevel(100)
	rounds(&l, 50, false, steady)
	if l.limit != firstLevel {
		t.Errorf("the limit grew to %d", l.limit)
	}
	rounds(&l, 1, true, steady)
	l.refused(l.sent(l.limit), l.limit-1, 0, noon)
	limit := l.limit
	rounds(&l, 50, false, steady)
	if l.limit != limit {
		t.Errorf("after a refusal the limit went from %d to %d", limit, l.limit)
	}
}

func TestABurstOfRefusalsIsOneDecrease(t *testing.T) {
	l := newLevel(1000)
	rounds(&l, 4, true, steady) // 64
	burst := sendAll(&l)
	// 60 of 64 are under way for good, the others are refused.
	for i, s := range burst[60:] {
		l.refused(s, 63-i, 0, noon)
	}
	if want := 54; l.decreases != 1 || l.limit != want {
		t.Fatalf("%d decreases to %d, want one to %d", l.decreases, l.limit, want)
	}
	// What was sent before tells no more when it comes late, unless less is under
	// way than was thought.
	l.refused(burst[0], 58, 0, noon)
	if l.decreases != 1 || l.limit != 54 {
		t.Errorf("a straggler made it %d decreases to %d", l.decreases, l.limit)
	}
	l.refused(l.sent(54), 53, 0, noon)
	if l.decreases != 2 || l.limit != 45 {
		t.Errorf("after a refusal of a later request %d decreases to %d, want 2 to 45", l.decreases, l.limit)
	}
}

func TestARefusedTrialCostsOneRefusalAndTheLevelIsKept(t *testing.T) {
	l := newLevel(1000)
	const slots = 40
	l.start(slots)
	l.refused(l.sent(l.limit+1), slots, 0, noon)
	refusals, answers := 0, 0
	for range 3000 {
		s := sendAll(&l)
		for i, s := range s {
			if i >= slots {
				refusals++
				l.refused(s, i, 0, noon)
				break
			}
			answers++
			l.answered(s, time.Second, time.Second, true, noon)
		}
	}
	if l.hold != slots || refusals == 0 || refusals*100 > answers {
		t.Errorf("the level is %d, with %d refusals to %d answers", l.hold, refusals, answers)
	}
}

func TestACooldownPostponesTheNextTrial(t *testing.T) {
	l := newLevel(1000)
	l.start(40)
	l.refused(l.sent(40), 39, time.Second, noon)
	rounds(&l, 200, true, steady)
	if l.phase != holding || l.limit != 39 {
		t.Errorf("a trial began within ten times the cooldown: %d, phase %d", l.limit, l.phase)
	}
	for range 3 {
		for _, s := range sendAll(&l) {
			l.answered(s, time.Second, time.Second, true, noon.Add(trialPause*time.Second))
		}
	}
	if l.limit <= 39 {
		t.Error("no trial began after it")
	}
}

func TestOtherFailuresCountOnlyInClusters(t *testing.T) {
	l := newLevel(1000)
	l.start(50)
	for range 100 {
		l.failed(l.sent(50))
		for range 12 {
			l.answered(l.sent(1), time.Second, time.Second, false, noon)
		}
	}
	if l.decreases != 0 || l.limit != 50 {
		t.Errorf("one failure in 13 made %d decreases to %d", l.decreases, l.limit)
	}
	burst := sendAll(&l)
	for _, s := range burst {
		l.failed(s)
	}
	if l.decreases != 1 || l.limit != 30 {
		t.Errorf("50 failures together made %d decreases to %d, want one to 30", l.decreases, l.limit)
	}
}

func TestWaitingEndsTheStartAndIsTakenBack(t *testing.T) {
	l := newLevel(1000)
	// 40 slots and a queue without end.
	queueing := func(underWay int) time.Duration {
		return time.Duration(max(1, float64(underWay)/40) * float64(time.Second))
	}
	rounds(&l, 8, true, queueing)
	if l.phase == starting || l.limit > 160 {
		t.Errorf("the limit is %d, phase %d", l.limit, l.phase)
	}
	rounds(&l, 100, true, queueing)
	if l.hold < 40 || l.hold > 50 {
		t.Errorf("the level is %d for 40 slots", l.hold)
	}
}

func TestAnyOrderOfEventsKeepsTheLevelWithinItsBounds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		most := 1 + r.IntN(300)
		l := newLevel(most)
		var underWay []stamp
		now := noon
		for range 3000 {
			now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
			if len(underWay) < l.limit && r.IntN(3) > 0 {
				underWay = append(underWay, l.sent(len(underWay)+1))
			} else if len(underWay) > 0 {
				i := r.IntN(len(underWay))
				s := underWay[i]
				busy := len(underWay) >= l.limit
				underWay = append(underWay[:i], underWay[i+1:]...)
				switch r.IntN(12) {
				case 0:
					l.refused(s, len(underWay), time.Duration(r.IntN(2))*time.Second, now)
				case 1:
					l.failed(s)
				default:
					l.answered(s, time.Duration(1+r.IntN(1000))*time.Millisecond, time.Duration(r.IntN(1000))*time.Millisecond, busy, now)
				}
			}
			if l.limit < 1 || l.limit > most || l.hold < 1 || l.hold > most {
				t.Fatalf("seed %d: limit %d, hold %d, bound %d", seed, l.limit, l.hold, most)
			}
		}
	}
}
