package forget

import (
	"context"
	"path"
	"slices"
	"strings"

	"rpo/activities/chat/cache"
	"rpo/schemas"
)

// folders are those of this system, by the first segment of their keys.
var folders = []string{"data", "runs", "imports", "supplements", "datasets", "watermarks", "models", "checkpoints", "cache", "reports", "forgotten", "trash", "experiments"}

// weights are the endings of files that hold numbers and no text.
var weights = []string{".safetensors", ".gguf", ".pt", ".bin", ".distcp", ".npy"}

// maxSearched bounds what is searched as text, in bytes: larger objects of ours are
// weights, larger ones of others are named as outside.
const maxSearched = 256 << 20

// search looks for the ids and the lines of the rows in every object of the bucket.
func (w *work) search(ctx context.Context) error {
	found := &w.proof.Search
	for _, n := range w.needles.all() {
		if n.ID {
			found.IDs++
		} else {
			found.Texts++
		}
	}
	found.IDs += len(w.needles.keys)
	found.Shared, found.Short = w.plan.Shared, w.plan.Short
	keys, err := w.store.List(ctx, "", "", 0)
	if err != nil {
		return err
	}
	codecs := map[string]codec{}
	for _, c := range w.tables() {
		codecs[c.table] = c
	}
	for _, key := range keys {
		if key == w.request.planKey() || strings.HasPrefix(key, "cache/calls/") {
			continue
		}
		if err := w.searchObject(ctx, key, codecs); err != nil {
			return err
		}
	}
	return w.searchCache(ctx)
}

func (w *work) searchObject(ctx context.Context, key string, codecs map[string]codec) error {
	search := &w.proof.Search
	folder, rest, _ := strings.Cut(key, "/")
	ours := slices.Contains(folders, folder)
	size, _, err := w.store.Head(ctx, key)
	if err != nil {
		return err
	}
	if slices.Contains(weights, path.Ext(key)) || size > maxSearched {
		if ours {
			search.Weights++
		} else if size > maxSearched {
			w.proof.Outside = append(w.proof.Outside, key+" (too large to search)")
		}
		return nil
	}
	data, err := w.store.Get(ctx, key)
	if err != nil {
		return err
	}
	search.Objects++
	search.Bytes += int64(len(data))
	holds := false
	visit := func(text string) { holds = holds || w.needles.in(text) }
	table, _, _ := strings.Cut(rest, "/")
	c, known := codecs[table]
	switch {
	case folder == "data" && !known:
		return schemas.Errorf(schemas.Internal, "search %s: table %q is unknown here", w.store.URI(key), table)
	case folder == "data":
		err = c.strings(data, visit)
	case folder == "datasets" && path.Ext(key) == ".parquet":
		err = anyOf(codecs, data, visit)
	default:
		holds = w.shown(string(data))
	}
	if err != nil {
		return schemas.Errorf(schemas.TypeOf(err), "search %s: %w", w.store.URI(key), err)
	}
	switch {
	case holds && ours:
		search.Found = append(search.Found, key)
	case holds:
		w.proof.Outside = append(w.proof.Outside, key)
	}
	return nil
}

// anyOf reads an exported file, whose name does not tell its table.
func anyOf(codecs map[string]codec, data []byte, visit func(string)) (err error) {
	for _, table := range append([]string{schemas.TablePair}, schemas.BaselineTables...) {
		if err = codecs[table].strings(data, visit); err == nil {
			return nil
		}
	}
	return err
}

func (w *work) searchCache(ctx context.Context) error {
	search := &w.proof.Search
	owners := cache.NewOwners(w.closure.owners())
	seen, holds := map[string]bool{}, map[string]bool{}
	err := cache.Walk(ctx, w.store, func(key string, e cache.Entry) {
		seen[key] = true
		search.Bytes += int64(len(e.Text))
		if !e.Tagged() || owners.Own(e) || w.shown(e.Text) {
			holds[key] = true
		}
	}, func(key string) { holds[key] = true })
	search.Objects += int64(len(seen))
	for key := range holds {
		search.Found = append(search.Found, key)
	}
	slices.Sort(search.Found)
	return err
}
