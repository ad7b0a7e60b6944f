// Command bench measures the pair stage's own activity, PairShard, on synthetic
// turns: from the Parquet tables of turns, responses, verdicts and opposites to the
// encoded table of verified pairs and the commit record. The store is in memory and
// drops what the stage writes, so that no disk is measured; making and encoding the
// input is not timed. Shards are worked on as many at once as in a stage by default,
// round after round, each round with a store of its own.
//
//	go run ./activities/pair/bench [-millions 0.1,1,4]
//
// Every size runs in a process of its own, so that its peak memory is its own; that
// includes making the input. The last line is one JSON object: responses_per_s,
// seconds, cpu_seconds (of the process, collector included, so that other load on
// the machine can be told), peak_rss_mb, pairs_per_response and pair_mb (encoded)
// by size, in millions of responses.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

const (
	// shardsInFlight is the default of schemas.RunOptions.
	shardsInFlight = 4
	// dialoguesPerShard makes shards as large as an import of many profiles does.
	dialoguesPerShard = 200
	turnsPerDialogue  = 5
	responsesPerTurn  = 5
	responsesPerShard = dialoguesPerShard * turnsPerDialogue * responsesPerTurn
)

func main() {
	millions := flag.String("millions", "0.1,1,4", "sizes in millions of responses, comma-separated")
	one := flag.Float64("one", 0, "measure one size in this process")
	flag.Parse()
	err := error(nil)
	if *one > 0 {
		err = measure(*one)
	} else {
		err = all(strings.Split(*millions, ","))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench pairs:", err)
		os.Exit(1)
	}
}

// result is what the process of one size prints.
type result struct {
	Responses int64   `json:"responses"`
	Pairs     int64   `json:"pairs"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu"`
}

func all(sizes []string) error {
	out := map[string]map[string]float64{}
	note := func(what, size string, v float64) {
		if out[what] == nil {
			out[what] = map[string]float64{}
		}
		out[what][size] = v
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, size := range sizes {
		child := exec.Command(self, "-one", size)
		child.Stderr = os.Stderr
		data, err := child.Output()
		if err != nil {
			return fmt.Errorf("size %s million: %w", size, err)
		}
		var r result
		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("size %s million: %w", size, err)
		}
		peak := float64(child.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
		note("responses_per_s", size, float64(int(float64(r.Responses)/r.Seconds)))
		note("seconds", size, rounded(r.Seconds))
		note("cpu_seconds", size, rounded(r.CPU))
		note("peak_rss_mb", size, rounded(peak))
		note("pairs_per_response", size, rounded(float64(r.Pairs)/float64(r.Responses)))
		note("pair_mb", size, rounded(float64(r.Bytes)/1e6))
		fmt.Printf("%s million responses: %.1f s, %.1f CPU seconds, %d pairs, peak %.0f MB, on %d processors\n", size, r.Seconds, r.CPU, r.Pairs, peak, runtime.GOMAXPROCS(0))
	}
	line, err := json.Marshal(out)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}

func rounded(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'f', 2, 64), 64)
	return v
}

// measure runs the stage over shards until there were enough responses.
func measure(millions float64) error {
	shards := int(millions*1e6+responsesPerShard-1) / responsesPerShard
	var total result
	for first := 0; first < shards; first += shardsInFlight {
		s := newStore()
		manifest, err := input(s, first, min(first+shardsInFlight, shards))
		if err != nil {
			return err
		}
		start, cpu := time.Now(), cpuSeconds()
		if err := work(s, manifest, first, min(first+shardsInFlight, shards)); err != nil {
			return err
		}
		total.Seconds += time.Since(start).Seconds()
		total.CPU += cpuSeconds() - cpu
		for number := first; number < min(first+shardsInFlight, shards); number++ {
			if err := total.add(s, number); err != nil {
				return err
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(total)
}

// cpuSeconds is what this process has used so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // not with these arguments
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

const job, stage = "bench", "pair"

// work runs the stage's activity on the shards, all at once.
func work(s store.Store, manifest string, first, end int) error {
	a := pair.Activities{Store: s}
	var options schemas.PairOptions
	options.SetDefaults()
	errs := make([]error, end-first)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() {
			_, errs[i] = a.PairShard(context.Background(), pair.ShardInput{
				Shard: store.Shard{Job: job, Stage: stage, Manifest: manifest, Number: first + i}, PairOptions: options,
			})
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *result) add(s store.Store, number int) error {
	record, ok, err := store.Committed(context.Background(), s, job, stage, number)
	if err != nil || !ok {
		return fmt.Errorf("shard %d has no commit record: %w", number, err)
	}
	if n := record.Counts["dropped_unverified"]; n > 0 || !record.Books.Closed() || record.Books.OK < record.Books.In*9/10 {
		return fmt.Errorf("shard %d: %d pairs are noisy, books %+v", number, n, record.Books)
	}
	r.Responses += record.Books.In
	r.Pairs += record.Counts["pairs"]
	r.Bytes += record.Outputs[schemas.TablePair].Bytes
	return nil
}

// dropping is a store in memory that keeps of the tables of pairs their size only,
// which a commit looks at.
type dropping struct {
	*store.Memory
	sizes sync.Map // key -> int64
}

func newStore() store.Store { return &dropping{Memory: store.NewMemory("bench")} }

func (d *dropping) Put(ctx context.Context, key string, data []byte) error {
	if strings.HasPrefix(key, "data/"+schemas.TablePair+"/") {
		d.sizes.Store(key, int64(len(data)))
		return nil
	}
	return d.Memory.Put(ctx, key, data)
}

func (d *dropping) Head(ctx context.Context, key string) (size int64, sha256 string, err error) {
	if n, ok := d.sizes.Load(key); ok {
		return n.(int64), "", nil
	}
	return d.Memory.Head(ctx, key)
}
