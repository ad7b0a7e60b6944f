package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"rpo/schemas"
)

// readers is how many records are read at once: reading a stage's records is
// bound by round trips.
const readers = 8

func stageFolder(job, stage string) (string, error) {
	if err := checkName("job", job); err != nil {
		return "", err
	}
	if err := checkName("stage", stage); err != nil {
		return "", err
	}
	return "runs/" + job + "/" + stage + "/", nil
}

func commitKey(job, stage string, shard int) (string, error) {
	folder, err := stageFolder(job, stage)
	if err != nil {
		return "", err
	}
	if shard < 0 {
		return "", schemas.Errorf(schemas.InvalidInput, "shard %d of %s is refused: shards count from 0", shard, folder)
	}
	return fmt.Sprintf("%sshard-%05d.json", folder, shard), nil
}

// Commit makes a shard done: it writes the record unless there is one, and
// returns the one that counts. The first writer wins; won is false for a record
// that another attempt wrote, whose outputs are then the shard's.
//
// It refuses books that do not close (Internal) and outputs that do not lie in
// the store as the record says (NotFound, CorruptData): a record must never name
// what is not there.
func Commit(ctx context.Context, s Store, r schemas.CommitRecord) (winner schemas.CommitRecord, won bool, err error) {
	key, err := commitKey(r.Job, r.Stage, r.Shard)
	if err != nil {
		return winner, false, err
	}
	if !r.Books.Closed() {
		return winner, false, schemas.Errorf(schemas.Internal, "commit %s: the books do not close: %d rows in, %d ok + %d quarantined + %d skipped",
			key, r.Books.In, r.Books.OK, r.Books.Quarantined, r.Books.Skipped)
	}
	for _, table := range slices.Sorted(maps.Keys(r.Outputs)) {
		if err := checkStored(ctx, s, r.Outputs[table]); err != nil {
			return winner, false, schemas.Errorf(schemas.TypeOf(err), "commit %s: table %s: %w", key, table, err)
		}
	}
	r.Inputs = slices.Sorted(slices.Values(r.Inputs))
	data, err := encodeJSON(r)
	if err != nil {
		return winner, false, err
	}
	won, err = s.PutIfAbsent(ctx, key, data)
	if err != nil {
		return winner, false, err
	}
	if won {
		return r, true, nil
	}
	winner, err = readCommit(ctx, s, key)
	return winner, false, err
}

// checkStored compares an object with what the store says about it.
func checkStored(ctx context.Context, s Store, o schemas.Object) error {
	size, sum, err := s.Head(ctx, o.Key)
	if err != nil {
		return err
	}
	if sum == "" {
		sum = o.SHA256
	}
	return checkObject(s.URI(o.Key), o, size, sum)
}

// Committed returns the record of a shard and whether there is one.
func Committed(ctx context.Context, s Store, job, stage string, shard int) (schemas.CommitRecord, bool, error) {
	key, err := commitKey(job, stage, shard)
	if err != nil {
		return schemas.CommitRecord{}, false, err
	}
	r, err := readCommit(ctx, s, key)
	if err != nil {
		if schemas.TypeOf(err) == schemas.NotFound {
			err = nil
		}
		return schemas.CommitRecord{}, false, err
	}
	return r, true, nil
}

// committedNumbers returns the numbers of a stage's done shards without reading
// their records.
func committedNumbers(ctx context.Context, s Store, job, stage string) (map[int]bool, error) {
	folder, err := stageFolder(job, stage)
	if err != nil {
		return nil, err
	}
	keys, err := s.List(ctx, folder+"shard-", "", 0)
	if err != nil {
		return nil, err
	}
	numbers := make(map[int]bool, len(keys))
	for _, key := range keys {
		var n int
		if _, err := fmt.Sscanf(strings.TrimPrefix(key, folder), "shard-%d.json", &n); err != nil {
			return nil, schemas.Errorf(schemas.CorruptData, "list %s: %q is not a commit record: remove it", folder, key)
		}
		numbers[n] = true
	}
	return numbers, nil
}

// CommittedShards returns the records of all done shards of a stage by number.
func CommittedShards(ctx context.Context, s Store, job, stage string) ([]schemas.CommitRecord, error) {
	folder, err := stageFolder(job, stage)
	if err != nil {
		return nil, err
	}
	keys, err := s.List(ctx, folder+"shard-", "", 0)
	if err != nil {
		return nil, err
	}
	records := make([]schemas.CommitRecord, len(keys))
	failures := make([]error, len(keys))
	next := make(chan int)
	var group sync.WaitGroup
	for range min(readers, len(keys)) {
		group.Go(func() {
			for i := range next {
				records[i], failures[i] = readCommit(ctx, s, keys[i])
			}
		})
	}
	for i := range keys {
		next <- i
	}
	close(next)
	group.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(records, func(a, b schemas.CommitRecord) int { return a.Shard - b.Shard })
	return records, nil
}

func readCommit(ctx context.Context, s Store, key string) (schemas.CommitRecord, error) {
	var r schemas.CommitRecord
	data, err := s.Get(ctx, key)
	if err != nil {
		return r, err
	}
	if err := decodeJSON(s.URI(key), data, &r); err != nil {
		return schemas.CommitRecord{}, err
	}
	want, err := commitKey(r.Job, r.Stage, r.Shard)
	if err != nil || want != key {
		return schemas.CommitRecord{}, schemas.Errorf(schemas.CorruptData,
			"read %s: it is the record of shard %d of job %.100q, stage %.100q", s.URI(key), r.Shard, r.Job, r.Stage)
	}
	return r, nil
}
