package chat

// State is how the server at one address fares now, and what became of the
// requests that were sent to it since its Client was made.
type State struct {
	// Level is how many requests may be under way at once, which is found out and
	// at most Most.
	Level, Most int
	// UnderWay counts requests that were sent and have not ended, Waiting calls that
	// wait for their turn to send one.
	UnderWay, Waiting int
	// Breaker is one of BreakerStates; Opened counts how often it opened.
	Breaker string
	Opened  int64
	Ended   Ended
}

// Ended counts requests by what became of them.
type Ended struct {
	// Answered had an answer, Rejected a reply that is none and says nothing of load.
	Answered, Rejected int64
	// Refused were not begun, for want of capacity. Failed had no reply, or one that
	// says that something broke. GivenUp were ended by their caller.
	Refused, Failed, GivenUp int64
}

// BreakerStates are the states of a breaker: closed lets all requests through,
// open none, trying one that decides about the others.
var BreakerStates = []string{"closed", "open", "trying"}

func (s breakerState) String() string { return BreakerStates[s] }

// State returns the client's own.
func (c *Client) State() State {
	s := c.limited.limiter.state()
	s.Breaker, s.Opened = c.limited.breaker.standing()
	return s
}

// States implements Connection.
func (c *Client) States() []State { return []State{c.State()} }

// States implements Connection.
func (r *Replicated) States() (all []State) {
	for _, one := range r.replicas {
		all = append(all, one.State())
	}
	return all
}

func (l *limiter) state() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return State{Level: l.level.limit, Most: l.level.max, UnderWay: l.underWay, Waiting: l.waiting.Len(), Ended: l.ended}
}

// count notes how a request ended.
func (e *Ended) count(f fate) {
	switch f {
	case fateAnswered:
		e.Answered++
	case fateRejected:
		e.Rejected++
	case fateRefused:
		e.Refused++
	case fateFailed:
		e.Failed++
	default:
		e.GivenUp++
	}
}

func (b *breaker) standing() (state string, opened int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.String(), b.everOpened
}
