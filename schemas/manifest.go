package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Table names, which are also the folders that hold their objects.
const (
	TableProfile    = "profile"
	TableTurn       = "turn"
	TableResponse   = "response"
	TableVerdict    = "verdict"
	TableOpposite   = "opposite"
	TablePair       = "pair"
	TableReference  = "reference"
	TableEvaluation = "evaluation"
	TableQuarantine = "quarantine"
)

// Object names one immutable object by the hash of its bytes.
type Object struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"` // lower-case hex
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
}

// Books count what became of every row that a step read. They close when In
// equals the sum of the rest.
type Books struct {
	In          int64 `json:"in"`
	OK          int64 `json:"ok"`
	Quarantined int64 `json:"quarantined"`
	Skipped     int64 `json:"skipped"`
}

// Closed reports whether every row that went in is accounted for.
func (b Books) Closed() bool { return b.In == b.OK+b.Quarantined+b.Skipped }

// Add returns the sum of both.
func (b Books) Add(c Books) Books {
	return Books{b.In + c.In, b.OK + c.OK, b.Quarantined + c.Quarantined, b.Skipped + c.Skipped}
}

// CommitRecord is the small object whose existence makes a shard done. It is
// written once per (job, stage, shard) with If-None-Match: *; the first writer
// wins and the loser reads the winner's record.
type CommitRecord struct {
	Job   string `json:"job"`
	Stage string `json:"stage"`
	Shard int    `json:"shard"`
	// Split is the split of all rows of the shard.
	Split string `json:"split"`
	// Inputs are the hashes of the objects that were read, sorted.
	Inputs []string `json:"inputs"`
	// Outputs are the objects by table: those that this stage made, and those of
	// the stages before that the next ones need.
	Outputs map[string]Object `json:"outputs"`
	Books   Books             `json:"books"`
	// Counts holds what else the stage wants summed over its shards, by name.
	Counts map[string]int64 `json:"counts,omitempty"`
	// Spending is what the attempts of this activity used.
	Spending
	ConfigHash  string `json:"config_hash"`
	CodeVersion string `json:"code_version"`
}

// ManifestShard is one shard of a manifest.
type ManifestShard struct {
	Shard   int               `json:"shard"`
	Split   string            `json:"split"`
	Objects map[string]Object `json:"objects"`
}

// Manifest lists the shards that a stage (or an import) made: the input of the
// next stage. Its URI is all that travels through workflows.
type Manifest struct {
	Job    string           `json:"job"`
	Stage  string           `json:"stage"`
	Shards []ManifestShard  `json:"shards"` // by number
	Books  Books            `json:"books"`
	Counts map[string]int64 `json:"counts,omitempty"`
}

// Objects returns the objects of one table in the order of the shards.
func (m Manifest) Objects(table string) []Object {
	var out []Object
	for _, s := range m.Shards {
		if o, ok := s.Objects[table]; ok {
			out = append(out, o)
		}
	}
	return out
}

// Hash is the sha256 of the sorted hashes of objects, one a line. Attempts,
// costs and times are not in it, so it is equal whenever the rows are.
func Hash(objects []Object) string {
	var sums []string
	for _, o := range objects {
		sums = append(sums, o.SHA256)
	}
	slices.Sort(sums)
	sum := sha256.Sum256([]byte(strings.Join(sums, "\n")))
	return hex.EncodeToString(sum[:])
}

// DatasetVersion is one numbered, immutable version of a data set.
type DatasetVersion struct {
	Dataset string `json:"dataset"`
	Number  int    `json:"number"`
	// Parent is the number before, 0 for the first.
	Parent int `json:"parent"`
	// Hash is Hash(Objects).
	Hash    string   `json:"hash"`
	Objects []Object `json:"objects"`
	// Job made it; Manifest is the URI of the pair stage's manifest.
	Job      string           `json:"job"`
	Manifest string           `json:"manifest"`
	Counts   map[string]int64 `json:"counts"`
	// Watermark is the URI of the Watermark of all that a refreshed data set has
	// consumed, "" for a version that one run made by itself.
	Watermark string `json:"watermark,omitempty"`
}

// Quarantined is one row of the quarantine table: a row that could not be
// processed, with all that is needed to mend and requeue it.
type Quarantined struct {
	Stage string `parquet:"stage,dict"`
	// Table and RowID name the row that was set aside.
	Table string `parquet:"table,dict"`
	RowID string `parquet:"row_id"`
	// ErrorType is an ErrorType, Reason a sentence for people.
	ErrorType string `parquet:"error_type,dict"`
	Reason    string `parquet:"reason"`
	// Request is the row or the call that failed, as JSON.
	Request string `parquet:"request"`
}

// ShardResult is what the work on one shard returns to its stage.
type ShardResult struct {
	Shard  int   `json:"shard"`
	Reused bool  `json:"reused"`
	Books  Books `json:"books"`
	// Spent is what this activity spent, whoever committed the shard.
	Spent Spending `json:"spent,omitzero"`
	// Estimate is set instead of all else where the work was only estimated.
	Estimate *Estimate `json:"estimate,omitempty"`
}

// ResultOf shortens a commit record.
func ResultOf(r CommitRecord, reused bool) ShardResult {
	return ShardResult{Shard: r.Shard, Reused: reused, Books: r.Books}
}

// Heartbeat is what an activity tells people while it works. Loss is nil but in
// training.
type Heartbeat struct {
	Done  int      `json:"done"`
	Total int      `json:"total"`
	Loss  *float64 `json:"loss,omitempty"`
	// Spent is what this activity has spent so far, over its attempts.
	Spent Spending `json:"spent,omitzero"`
	// Phase says what a trainer does between its steps, and how far it is.
	Phase string `json:"phase,omitempty"`
}
