package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rpo/schemas"
)

// Activities open and close stages.
type Activities struct{ Store Store }

// OpenStageInput names a stage's input and all that determines its output.
type OpenStageInput struct {
	Stage    string `json:"stage"`
	Manifest string `json:"manifest"`
	// Split limits the stage to shards of one split.
	Split string `json:"split"`
	// Needs are the tables that the stage reads.
	Needs []string `json:"needs"`
	// Config is whatever else the output depends on: options, models, versions.
	Config     any   `json:"config"`
	Generation int64 `json:"generation"`
}

// OpenStageResult is a stage's identity and size.
type OpenStageResult struct {
	Job        string `json:"job"`
	ConfigHash string `json:"config_hash"`
	Shards     int    `json:"shards"`
	// Rows counts the rows, of the last table needed, in shards that are not
	// committed yet; First is the first such shard and FirstRows are its rows.
	Rows      int64 `json:"rows,omitempty"`
	First     int   `json:"first,omitempty"`
	FirstRows int64 `json:"first_rows,omitempty"`
}

// OpenStage derives the job from the configuration, the input's content and the
// generation, so that the same work has the same job wherever it is started.
func (a *Activities) OpenStage(ctx context.Context, in OpenStageInput) (OpenStageResult, error) {
	m, err := GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return OpenStageResult{}, err
	}
	shards := splitShards(m, in.Split)
	if len(shards) == 0 {
		return OpenStageResult{}, schemas.Errorf(schemas.InvalidInput, "manifest %s has no profiles of split %q: import with an --eval-fraction between 0 and 1, or set split in the file", in.Manifest, in.Split)
	}
	config, err := canonical(in.Config)
	if err != nil {
		return OpenStageResult{}, schemas.Errorf(schemas.Internal, "encode configuration of stage %s: %w", in.Stage, err)
	}
	for _, table := range in.Needs {
		if _, ok := shards[0].Objects[table]; !ok {
			mend := "give the manifest of the stage that makes it"
			if _, seeds := shards[0].Objects[schemas.TableSeed]; seeds {
				mend = "it holds seeds: run GenerateProfiles on it, then BuildDialogues"
			}
			return OpenStageResult{}, schemas.Errorf(schemas.InvalidInput, "manifest %s is of stage %s and lacks table %q, which stage %s reads: %s",
				in.Manifest, m.Stage, table, in.Stage, mend)
		}
	}
	hash := digest(config)
	job := schemas.ID("job", in.Stage, hash, contentHash(shards), strconv.FormatInt(in.Generation, 10))
	out := OpenStageResult{Job: job, ConfigHash: hash, Shards: len(shards)}
	if len(in.Needs) == 0 {
		return out, nil
	}
	committed, err := committedNumbers(ctx, a.Store, job, in.Stage)
	if err != nil {
		return OpenStageResult{}, err
	}
	for _, s := range shards {
		rows := s.Objects[in.Needs[len(in.Needs)-1]].Rows
		if committed[s.Shard] || rows == 0 {
			continue
		}
		if out.Rows == 0 {
			out.First, out.FirstRows = s.Shard, rows
		}
		out.Rows += rows
	}
	return out, nil
}

// UnmarshalJSON keeps the configuration's numbers as they were written: two
// seeds that differ are two jobs, however large they are.
func (in *OpenStageInput) UnmarshalJSON(data []byte) error {
	type plain OpenStageInput
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode((*plain)(in))
}

// canonical writes a value as JSON with sorted keys, so that a struct and the
// map that it became on the way are the same configuration.
func canonical(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var plain any
	if err := d.Decode(&plain); err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

// contentHash is of what stands in which shard, without what earlier stages set
// aside: no stage reads that, and its reasons name addresses. The numbers are in it because
// commit records are found by them: were two manifests with the same objects
// under other numbers one job, a shard would be given another one's rows.
func contentHash(shards []schemas.ManifestShard) string {
	var all strings.Builder
	for _, s := range shards {
		for _, table := range slices.Sorted(maps.Keys(s.Objects)) {
			if table == schemas.TableQuarantine {
				continue
			}
			fmt.Fprintf(&all, "%d %s %s\n", s.Shard, table, s.Objects[table].SHA256)
		}
	}
	return digest([]byte(all.String()))
}

// ListShardsInput asks for one page of the shards of a stage that are not
// committed yet.
type ListShardsInput struct {
	Job      string `json:"job"`
	Stage    string `json:"stage"`
	Manifest string `json:"manifest"`
	Split    string `json:"split"`
	// Offset counts the shards of the split, committed ones included.
	Offset int `json:"offset"`
	Limit  int `json:"limit"`
	// Retry, if not nil, limits the list to what that round works on again; Offset
	// counts these.
	Retry *FailureLog `json:"retry,omitempty"`
}

// ListShardsResult is one page: Todo are the numbers of the shards to work on.
type ListShardsResult struct {
	Todo []int `json:"todo"`
	Done int   `json:"done"`
}

// ListShards lists the shards without a commit record.
func (a *Activities) ListShards(ctx context.Context, in ListShardsInput) (ListShardsResult, error) {
	m, err := GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return ListShardsResult{}, err
	}
	committed, err := committedNumbers(ctx, a.Store, in.Job, in.Stage)
	if err != nil {
		return ListShardsResult{}, err
	}
	var all []int
	if in.Retry != nil {
		if all, err = a.retried(ctx, *in.Retry); err != nil {
			return ListShardsResult{}, err
		}
	} else {
		for _, s := range splitShards(m, in.Split) {
			all = append(all, s.Shard)
		}
	}
	var out ListShardsResult
	for _, number := range all[min(in.Offset, len(all)):min(in.Offset+in.Limit, len(all))] {
		if committed[number] {
			out.Done++
		} else {
			out.Todo = append(out.Todo, number)
		}
	}
	return out, nil
}

// CloseStageInput names a stage all of whose shards are committed or given up.
type CloseStageInput struct {
	Job      string `json:"job"`
	Stage    string `json:"stage"`
	Manifest string `json:"manifest"`
	Split    string `json:"split"`
	// Failed, if not nil, names the shards that failed and are given up. One that
	// was committed all the same (its acknowledgement was lost) counts as done.
	Failed *FailureLog `json:"failed,omitempty"`
	// GaveUp gives up all others that are not committed, since the budget is reached.
	GaveUp bool `json:"gave_up,omitempty"`
	// List is how many failed shards the result lists.
	List int `json:"list"`
}

// maxCounts bounds the counts that a result lists.
const maxCounts = 32

// CloseStage writes the stage's manifest from its commit records and sums their
// books. A shard that is neither committed nor given up is an error, so that
// nothing is lost in silence.
func (a *Activities) CloseStage(ctx context.Context, in CloseStageInput) (schemas.StageResult, error) {
	parent, err := GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return schemas.StageResult{}, err
	}
	records, err := CommittedShards(ctx, a.Store, in.Job, in.Stage)
	if err != nil {
		return schemas.StageResult{}, err
	}
	byNumber := make(map[int]schemas.CommitRecord, len(records))
	for _, r := range records {
		byNumber[r.Shard] = r
	}
	var failures []schemas.ShardFailure
	if in.Failed != nil {
		if failures, err = a.failures(ctx, *in.Failed); err != nil {
			return schemas.StageResult{}, err
		}
	}
	m := schemas.Manifest{Job: in.Job, Stage: in.Stage, Counts: map[string]int64{}}
	out := schemas.StageResult{Stage: in.Stage, Job: in.Job}
	for _, s := range splitShards(parent, in.Split) {
		r, ok := byNumber[s.Shard]
		if !ok {
			f := schemas.ShardFailure{Shard: s.Shard, ErrorType: string(schemas.BudgetExceeded), Message: "not worked on: the budget was reached"}
			i, failed := slices.BinarySearchFunc(failures, s.Shard, func(f schemas.ShardFailure, shard int) int { return f.Shard - shard })
			switch {
			case failed:
				f = failures[i]
			case !in.GaveUp:
				return out, schemas.Errorf(schemas.CorruptData, "close stage %s of job %s: shard %d has no commit record", in.Stage, in.Job, s.Shard)
			}
			if out.FailedShards++; out.FailedShards <= in.List {
				out.Failed = append(out.Failed, f)
			}
			continue
		}
		m.Shards = append(m.Shards, schemas.ManifestShard{Shard: s.Shard, Split: r.Split, Objects: r.Outputs})
		m.Books = m.Books.Add(r.Books)
		for k, n := range r.Counts {
			m.Counts[k] += n
		}
		out.Shards++
		out.Spending = out.Spending.Add(r.Spending)
	}
	out.Books, out.Counts = m.Books, schemas.FewCounts(m.Counts, maxCounts)
	out.Manifest, err = PutManifest(ctx, a.Store, m)
	return out, err
}

// splitShards are the shards of a split, "" for all.
func splitShards(m schemas.Manifest, split string) []schemas.ManifestShard {
	var out []schemas.ManifestShard
	for _, s := range m.Shards {
		if split == "" || s.Split == split {
			out = append(out, s)
		}
	}
	return out
}
