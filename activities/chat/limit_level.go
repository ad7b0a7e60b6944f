package chat

import "time"

// level decides how many requests may be under way at once at one endpoint,
// without being told what the endpoint can take. It hears what became of every
// request and knows no clock, lock or network.
//
// It starts small and grows by one with each answer, which doubles it every
// round, until the endpoint refuses or more requests bring no more tokens. From
// then on it holds a level and now and then tries a higher one, in steps that
// begin at one, less and less often the more trials fail: the refusals that
// trials cost stay well under two in a hundred, and a ceiling that was found is
// kept to the last slot. A refusal outside a trial means that the endpoint has
// become smaller or that others use it, too: the level falls by a factor, once
// for all requests that were under way together.
//
// Some servers never refuse but queue. There a level is judged by its cost: the
// time that requests take per token of output, in units of what their kind takes
// where nothing waits. Times the rate of tokens it is the number under way
// (Little's law): if it grows in proportion to the level, the tokens per second
// stay as they were. A batching engine takes somewhat longer per token with every
// request more and still makes more tokens per second, so it is driven on until a
// rise of the level brings under a fifth of its due.
type level struct {
	limit, max int
	phase      phase
	// hold is the level to stay at; limit differs from it during a trial.
	hold int
	// top is the highest hold since growth last started anew.
	top int
	// epoch changes with the meaning of what is measured, decreases with every
	// decrease.
	epoch, decreases int

	// window measures requests that were sent in this epoch and filled the
	// level; skip of them come before it, since they met what was before.
	window window
	skip   int
	// cost is that of hold, 0 if not measured yet. accepted is one that is known to
	// be worth its concurrency, least the lowest ever, both 0 if there is none.
	// doubts counts windows in a row with a suspicious cost.
	cost, accepted, least float64
	doubts                int

	// base and before are of starting: the level when the window began and the
	// cost in the window before it.
	base   int
	before float64
	// step is that of climbing.
	step int
	// fallen says that a refusal brought the level down, so that the way up is known
	// to be worth it.
	fallen bool
	// quiet counts answers since the last trial, patience the trials that failed.
	quiet, patience int
	// notBefore is the earliest time of the next trial.
	notBefore time.Time
	// failures is a count of failed requests that answers make leak away.
	failures float64
}

type phase int

const (
	starting phase = iota
	holding
	climbing // a trial of a higher level
	easing   // a trial of a lower one
	yielding // to others, after a trial that was refused
)

const (
	firstLevel = 4
	// decreaseTo is what a refusal leaves of the level, failureDecreaseTo a
	// cluster of failures.
	decreaseTo        = 0.85
	failureDecreaseTo = 0.6
	// cluster is how many failures without answers between them count as overload,
	// leak how much of one an answer makes forgotten.
	cluster = 4
	leak    = 0.25
	// enough is the least number of answers that a level is judged by: the time a
	// request waits has nothing to do with its own tokens, so few tell little.
	// startEnough is that while the level doubles.
	enough      = 128
	startEnough = 8
	// between is the least number of answers between two trials.
	between = 6
	// startGrowth ends the start: so much more time per token on doubling.
	startGrowth = 1.5
	// suspicious growth of the time per token has a lower level tried, intolerable
	// growth over the least there was ends the search for a higher one: where
	// several workers fill one queue, each gains by having more in it.
	suspicious, intolerable = 1.3, 5
	// climbWorth is the least part of a rise of the level that must show in tokens
	// per second for it to stay, easeWorth that of a fall for it not to stay. From
	// plain on growth starts anew.
	climbWorth, easeWorth, plain = 0.2, 0.15, 0.5
	maxPatience                  = 4
	// trialPause, doubled with patience, is how many times as long as a cooldown
	// that a refusal caused no trial is made.
	trialPause = 10
	// yieldPart is the part of the level that is left to others after a refused
	// trial, for a round.
	yieldPart = 32
)

func newLevel(most int) level {
	l := level{max: most}
	l.start(min(firstLevel, most))
	return l
}

// stamp is what is remembered of a request from sending to its end.
type stamp struct {
	epoch, decreases int
	// full says that the request brought the number under way to the limit.
	full bool
}

func (l *level) sent(underWay int) stamp {
	return stamp{l.epoch, l.decreases, underWay >= l.limit}
}

// window sums up answered requests.
type window struct {
	answers   int
	took, due time.Duration
}

func (w *window) add(took, due time.Duration) {
	w.answers++
	w.took += took
	w.due += due
}

func (w *window) cost() float64 { return float64(w.took) / float64(max(w.due, 1)) }

// answered says that a request was answered, in how much time, and how much it
// should have taken for its kind and tokens. busy says that
// the limit was the bottleneck at that time: only then can anything be learned
// from it, and only then is there a reason to grow.
func (l *level) answered(s stamp, took, due time.Duration, busy bool, now time.Time) {
	l.failures = max(0, l.failures-leak)
	if !busy {
		return
	}
	l.quiet++
	if l.phase == starting {
		l.grow(took, due)
		return
	}
	if s.epoch == l.epoch && s.full {
		if l.skip > 0 {
			l.skip--
		} else {
			l.window.add(took, due)
		}
	}
	switch measured := l.window.answers >= max(l.limit, enough); {
	case l.phase == yielding:
		if l.quiet >= l.hold {
			l.settle(l.hold)
		}
	case l.phase == climbing && l.limit < l.target():
		// The trial ends with its first refusal, which comes faster than answers.
		if s.epoch == l.epoch {
			l.step *= 2
			l.set(min(l.hold+l.step, l.target()))
		}
	case measured && l.phase == climbing:
		l.judgeClimb()
	case measured && l.phase == easing:
		l.judgeEase()
	case measured:
		l.judgeHold()
	}
	if l.phase == holding && l.doubts == 0 && l.limit < l.max && (l.cost > 0 || l.fallen) &&
		l.quiet >= max(l.limit, between)<<l.patience && !now.Before(l.notBefore) {
		l.climb()
	}
}

// start grows by one with each answer, from n.
func (l *level) start(n int) {
	l.phase, l.hold, l.top, l.base, l.before = starting, n, n, n, 0
	l.patience, l.cost, l.fallen = 0, 0, false
	l.set(n)
}

func (l *level) grow(took, due time.Duration) {
	l.limit = min(l.limit+1, l.max)
	l.window.add(took, due)
	if l.window.answers < max(l.base, startEnough) {
		return
	}
	cost := l.measured()
	switch {
	case l.before > 0 && cost > startGrowth*l.before, cost > intolerable*l.least:
		l.settle(l.base)
	case l.limit == l.max:
		l.settle(l.max)
	default:
		l.base, l.before, l.window = l.limit, cost, window{}
	}
}

// set makes n the limit and measures anew.
func (l *level) set(n int) {
	l.limit = min(max(n, 1), l.max)
	l.epoch++
	l.window, l.skip = window{}, l.limit
}

// settle holds n. What was measured at n, if anything, stays known.
func (l *level) settle(n int) {
	n = min(max(n, 1), l.max)
	if n != l.hold || l.phase == starting {
		l.cost = 0
	}
	l.phase, l.hold, l.top, l.quiet = holding, n, max(l.top, n), 0
	l.set(n)
}

func (l *level) judgeHold() {
	l.cost = l.measured()
	l.window = window{}
	if l.doubts++; l.cost <= suspicious*l.accepted {
		l.doubts = 0
	}
	// The first of two may be of requests that met the change half-way.
	if l.doubts >= 2 {
		l.easeFor(l.accepted)
	}
}

// measured is the cost in the window, which may be the lowest so far.
func (l *level) measured() float64 {
	cost := l.window.cost()
	if l.accepted == 0 || cost < l.accepted {
		l.accepted = cost
	}
	if l.least == 0 || cost < l.least {
		l.least = cost
	}
	return cost
}

// easeFor tries a lower level, if the cost has grown from what it was. If all of
// the growth is waiting, the level without it is in proportion.
func (l *level) easeFor(was float64) {
	lower := max(int(1.1*float64(l.hold)*was/l.cost), l.hold/2, 1)
	if l.cost > suspicious*was && lower < l.hold {
		l.ease(lower)
	}
}

func (l *level) ease(lower int) {
	l.phase, l.doubts = easing, 0
	l.set(lower)
}

func (l *level) judgeEase() {
	cost := l.measured()
	if l.effect(cost) < easeWorth {
		l.settle(l.limit)
		l.cost = cost
		l.easeFor(l.accepted)
		return
	}
	l.accepted = max(l.accepted, l.cost)
	l.settle(l.hold)
}

func (l *level) climb() {
	l.phase, l.step = climbing, 1
	l.set(l.hold + 1)
}

// target is where the trial of a higher level is judged.
func (l *level) target() int { return min(l.hold+max(l.hold/4, 1), l.max) }

func (l *level) judgeClimb() {
	cost := l.measured()
	effect := l.effect(cost)
	if l.cost == 0 {
		// Nothing to compare with. If requests wait no longer than they ever did,
		// each has a slot.
		if effect = 0; cost <= suspicious*l.least {
			effect = 1
		}
	}
	switch {
	case effect < climbWorth || cost > intolerable*l.least:
		l.callOff(l.hold)
		// More is of no use, so perhaps less would do.
		if lower := l.hold * 3 / 4; l.cost > suspicious*l.least && lower > 0 {
			l.ease(lower)
		}
	case effect < plain:
		l.settle(l.limit)
		l.cost, l.patience = cost, 0
		if l.easeFor(l.accepted); l.phase == holding && l.limit < l.max {
			l.climb()
		}
	default:
		l.start(l.limit)
		l.before = cost
	}
}

// callOff ends the trial of a higher level.
func (l *level) callOff(n int) {
	l.patience, l.fallen = min(l.patience+1, maxPatience), false
	l.settle(n)
}

// yield leaves a little of a full endpoint unused for one round. Who comes anew
// to one without a queue finds a slot then; else whoever is there first would keep
// them all.
func (l *level) yield() {
	if lower := l.hold - max(l.hold/yieldPart, 1); lower > 0 {
		l.phase = yielding
		l.set(lower)
	}
}

// effect is the relative change of tokens per second from hold to limit, divided
// by that of the level: 1 where every request has a slot of its own, 0 where
// more requests only wait longer.
func (l *level) effect(cost float64) float64 {
	levels := float64(l.limit) / float64(l.hold)
	rates := levels * l.cost / cost
	return (rates - 1) / (levels - 1)
}

// refused says that a request was refused while left others were under way;
// cooldown is how long nothing may be sent because of it.
func (l *level) refused(s stamp, left int, cooldown time.Duration, now time.Time) {
	defer func() {
		if next := now.Add(trialPause * cooldown << l.patience); cooldown > 0 && next.After(l.notBefore) {
			l.notBefore = next
		}
	}()
	left = max(left, 1)
	switch {
	case s.decreases != l.decreases:
		// It was under way when the level fell, so it is no reason for another
		// fall. But what the endpoint holds now is all that it takes.
		l.limit, l.hold = min(l.limit, left), min(l.hold, left)
	case l.phase == climbing && left >= l.hold:
		l.decreases++
		l.callOff(min(left, l.limit-1))
		l.yield()
	default:
		to := int(decreaseTo * float64(l.limit))
		if l.phase == starting {
			to = max(to, l.base) // where all went well
		}
		l.decrease(min(left, to))
	}
}

// failed says that a request found no answer for another reason.
func (l *level) failed(s stamp) {
	if l.failures++; l.failures >= cluster && s.decreases == l.decreases {
		l.failures = 0
		l.decrease(int(failureDecreaseTo * float64(l.limit)))
	}
}

func (l *level) decrease(to int) {
	l.decreases++
	l.patience, l.cost = 0, 0
	if to = max(to, 1); to <= l.top/4 {
		l.start(to)
		return
	}
	l.settle(to)
	l.fallen = true
}
