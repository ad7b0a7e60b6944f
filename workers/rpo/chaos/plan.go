package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// kind is what goes wrong.
type kind string

const (
	// killWorker, killTemporal and killS3 are SIGKILL; after delay the part is
	// started again.
	killWorker   kind = "kill worker"
	killTemporal kind = "kill Temporal"
	killS3       kind = "kill S3"
	// freezeWorker stops a worker with SIGSTOP, so that it is taken for dead and
	// another one takes over, and lets it go on after delay.
	freezeWorker kind = "freeze worker"
	// raceCommit does the same to a worker whose commit has arrived, and passes
	// the commit on only after another worker's of the same shard.
	raceCommit kind = "race commits"
	// loseAnswers passes the next count writes on and hangs up instead of answering.
	loseAnswers kind = "lose answers"
	// repeatCommits passes the next count conditional writes on twice; the worker
	// gets the second answer, a 412.
	repeatCommits kind = "repeat commits"
	// refuseS3 answers the next count requests with status and does not pass them
	// on, at most for delay.
	refuseS3 kind = "refuse S3 requests"
	// cutRequests and cutAnswers break the connection in the middle of the next
	// count writes, or of the answers to reads.
	cutRequests kind = "cut requests"
	cutAnswers  kind = "cut answers"
	// fillDisk fills the disk under the S3 server's data and the worker's scratch
	// folder; the operator frees it after delay.
	fillDisk kind = "fill disk"
	// hangEndpoint leaves the next count calls without an answer, failEndpoint
	// answers them with status, where 0 cuts the answer; both at most for delay.
	hangEndpoint kind = "hang endpoint"
	failEndpoint kind = "fail endpoint"
)

var kinds = []kind{killWorker, killTemporal, killS3, freezeWorker, raceCommit, loseAnswers, repeatCommits,
	refuseS3, cutRequests, cutAnswers, fillDisk, hangEndpoint, failEndpoint}

// event is what moments are counted in.
type event string

const (
	// onRequest is a request of a worker to S3, onCall one to the endpoint.
	onRequest event = "S3 request"
	onCall    event = "call"
	// onCommit is a commit record that arrives, onCommitted one that S3 has
	// written and whose answer is not passed on yet.
	onCommit    event = "commit"
	onCommitted event = "written commit"
)

// stageNames are the stages of a run in their order.
var stageNames = []string{"sample", "judge", "reverse", "pair"}

// shards of every stage.
const shards = 6

// fault is one thing that goes wrong at the n-th event of a stage.
type fault struct {
	kind  kind
	stage string
	on    event
	n     int
	// count, status and delay are as the kind says. What lasts for a time, or for a
	// count of requests that come more and more rarely, is mended by the operator
	// after delay, as an outage is: it may be longer than a shard's retries take.
	count, status int
	delay         time.Duration
}

func (f fault) String() string {
	s := fmt.Sprintf("%s at %s %d of %s", f.kind, f.on, f.n, f.stage)
	if f.count > 0 {
		s += fmt.Sprintf(", %d times", f.count)
	}
	if f.status > 0 {
		s += fmt.Sprintf(", status %d", f.status)
	}
	if f.delay > 0 {
		s += fmt.Sprintf(", %s", f.delay)
	}
	return s
}

// planOf draws the faults of a run: 3 to 6, in the order in which they are due.
// Each kind comes first in one of len(kinds) seeds in a row.
func planOf(seed uint64) []fault {
	r := rand.New(rand.NewPCG(seed, 0x52504f))
	faults := make([]fault, 3+r.IntN(4))
	for i := range faults {
		k := kinds[r.IntN(len(kinds))]
		if i == 0 {
			k = kinds[seed%uint64(len(kinds))]
		}
		faults[i] = draw(r, k)
	}
	slices.SortStableFunc(faults, func(a, b fault) int {
		return cmp.Compare(slices.Index(stageNames, a.stage), slices.Index(stageNames, b.stage))
	})
	return faults
}

func draw(r *rand.Rand, k kind) fault {
	f := fault{kind: k, stage: stageNames[r.IntN(len(stageNames))]}
	events := []event{onRequest, onCommit, onCommitted, onCall}
	switch k {
	case raceCommit:
		events = []event{onCommit}
	case hangEndpoint, failEndpoint:
		events = []event{onCall}
	}
	if f.on = events[r.IntN(len(events))]; f.on == onCall && f.stage == "pair" {
		f.stage = stageNames[r.IntN(3)] // pairs are made without calls
	}
	// So many come in every run, whatever else goes wrong in it.
	f.n = 1 + r.IntN(map[event]int{onRequest: 60, onCall: 24, onCommit: shards, onCommitted: shards - 2}[f.on])
	milliseconds := func(least, most int) time.Duration {
		return time.Duration(least+r.IntN(most-least)) * time.Millisecond
	}
	switch k {
	case killWorker:
		f.delay = milliseconds(0, 1000)
	case killTemporal, killS3:
		f.delay = milliseconds(0, 2500)
	case freezeWorker:
		f.delay = milliseconds(1000, 7000)
	case loseAnswers:
		f.count = 1 + r.IntN(5)
	case repeatCommits, cutRequests, cutAnswers:
		f.count = 1 + r.IntN(4)
	case refuseS3:
		f.count, f.status, f.delay = 1+r.IntN(60), []int{500, 503, 507}[r.IntN(3)], milliseconds(2000, 8000)
	case fillDisk:
		f.delay = milliseconds(1000, 6000)
	case hangEndpoint:
		f.count, f.delay = 1+r.IntN(40), milliseconds(2000, 12000)
	case failEndpoint:
		f.count, f.status, f.delay = 1+r.IntN(60), []int{0, 429, 500, 503}[r.IntN(4)], milliseconds(2000, 12000)
	}
	return f
}
