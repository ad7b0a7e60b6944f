package forget

// Proof says what a removal did. It names nobody: ids stand as their tombstones,
// texts not at all.
type Proof struct {
	Request string `json:"request"`
	// At is when the removal began (RFC 3339).
	At     string `json:"at,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Tombstones keep what was forgotten from coming back.
	Tombstones []string `json:"tombstones"`
	// Unknown counts the ids of the request that no row had.
	Unknown int `json:"unknown,omitempty"`
	// Rows counts the removed rows by table, over all objects.
	Rows map[string]int64 `json:"rows"`
	// Objects are all objects that were rewritten or deleted.
	Objects []Change `json:"objects"`
	// Versions are the new versions of data sets.
	Versions []NewVersion `json:"versions,omitempty"`
	// Cache are the parts of the call cache that held replies about the forgotten.
	// Untagged counts replies that were removed since nobody knows whom they are about.
	Cache    []CacheChange `json:"cache,omitempty"`
	Untagged int64         `json:"untagged_replies,omitempty"`
	// Models were trained on removed rows: they still hold what they learned.
	Models []TaughtModel `json:"models_that_learned_from_the_rows,omitempty"`
	// Search is of everything that is left.
	Search Search `json:"search"`
	// Outside are objects that this system did not make and that still hold the rows:
	// a person must mend them.
	Outside []string `json:"outside,omitempty"`
}

// Change is what became of one object.
type Change struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
	// Removed of Rows rows are gone; 0 for what holds no rows itself.
	Rows    int64 `json:"rows,omitempty"`
	Removed int64 `json:"removed,omitempty"`
	// After is the object that took its place, which may have the same key; "" if it
	// was deleted.
	After       string `json:"after,omitempty"`
	AfterSHA256 string `json:"after_sha256,omitempty"`
	// What says why: "rows", "references", "text", "export", "watermark".
	What string `json:"what"`
}

// CacheChange is what became of one part of the call cache.
type CacheChange struct {
	Key         string `json:"key"`
	SHA256      string `json:"sha256"`
	Entries     int64  `json:"entries"`
	Removed     int64  `json:"removed"`
	After       string `json:"after,omitempty"`
	AfterSHA256 string `json:"after_sha256,omitempty"`
}

// NewVersion takes the place of versions that held the rows.
type NewVersion struct {
	Dataset string `json:"dataset"`
	// Number is 0 in a dry run, and for a data set whose newest version held none.
	Number     int   `json:"number,omitempty"`
	Rows       int64 `json:"rows"`
	Removed    int64 `json:"removed"`
	Superseded []int `json:"superseded,omitempty"`
}

// TaughtModel is a training whose input held removed rows.
type TaughtModel struct {
	Record string `json:"record"`
	Job    string `json:"job"`
	// Promoted are the versions of models that it became.
	Promoted []string `json:"promoted,omitempty"`
}

// Search is a search of all objects of the bucket, after the removal.
type Search struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	// IDs and Texts are how many ids of removed rows, and lines of their texts, were
	// searched for. Shared lines stand in other people's rows too, and short texts
	// in any: neither is searched for.
	IDs    int `json:"ids"`
	Texts  int `json:"texts"`
	Shared int `json:"shared"`
	Short  int `json:"short"`
	// Weights counts model files and checkpoints, which are not text.
	Weights int64 `json:"weights"`
	// Found are the objects that hold any of it: none, if the removal is complete.
	Found []string `json:"found"`
}

// Complete says that nothing of the rows is left in what this system made.
func (p Proof) Complete() bool { return !p.DryRun && len(p.Search.Found) == 0 }
