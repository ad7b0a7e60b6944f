package forget

import (
	"context"
	"encoding/json"
	"html"
	"path"
	"strings"

	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/schemas"
)

// replaced returns what takes an object's place, and whether anything does.
func (w *work) replaced(o schemas.Object) (schemas.Object, bool) {
	to, ok := w.plan.Objects[o.Key]
	if !ok {
		return o, false
	}
	return to.After, true
}

// replaceAll replaces objects by name and reports whether it replaced any.
func (w *work) replaceAll(objects map[string]schemas.Object) (any bool) {
	for name, o := range objects {
		if to, ok := w.replaced(o); ok {
			objects[name], any = to, true
		}
	}
	return any
}

// documents replaces the names of rewritten objects in manifests and commit
// records. Manifests of imports and supplements are named by their hash: the new
// one has another name, and the old name tells it. Books and counts stay: they say
// what the work was.
func (w *work) documents(ctx context.Context) error {
	for _, folder := range []string{"imports/", "supplements/", "runs/"} {
		keys, err := w.store.List(ctx, folder, "", 0)
		if err != nil {
			return err
		}
		for _, key := range keys {
			name := path.Base(key)
			switch {
			case !strings.HasSuffix(key, ".json"), strings.Contains(key, "/failed/"):
			case folder != "runs/":
				err = w.named(ctx, folder, key)
			case name == "manifest.json":
				err = inPlace(ctx, w, key, func(m *schemas.Manifest) bool { return w.manifest(m) })
			case strings.HasPrefix(name, "shard-"):
				err = inPlace(ctx, w, key, func(r *schemas.CommitRecord) bool {
					w.taught(key, *r)
					return w.replaceAll(r.Outputs)
				})
			}
			if err != nil {
				return err
			}
		}
	}
	return w.promoted(ctx)
}

func (w *work) manifest(m *schemas.Manifest) (any bool) {
	for _, s := range m.Shards {
		any = w.replaceAll(s.Objects) || any
	}
	return any
}

// inPlace changes a JSON document under its own key.
func inPlace[T any](ctx context.Context, w *work, key string, change func(*T) bool) error {
	data, err := w.store.Get(ctx, key)
	if err != nil {
		return err
	}
	var document T
	if err := schemas.DecodeStrict(data, &document); err != nil {
		return schemas.Errorf(schemas.CorruptData, "read %s: %w", w.store.URI(key), err)
	}
	if !change(&document) {
		return nil
	}
	return w.put(ctx, key, key, data, document, "references")
}

// put writes a document in the place of another and notes it.
func (w *work) put(ctx context.Context, from, to string, before []byte, document any, what string) error {
	if w.dry {
		// What it would become is not known: the objects that it names are not written.
		w.change(Change{Key: from, SHA256: sumOf(string(before)), What: what})
		return nil
	}
	after, err := json.Marshal(document)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode %s: %w", to, err)
	}
	w.change(Change{Key: from, SHA256: sumOf(string(before)), After: to, AfterSHA256: sumOf(string(after)), What: what})
	return w.store.Put(ctx, to, after)
}

// named replaces a manifest whose name is its hash.
func (w *work) named(ctx context.Context, folder, key string) error {
	data, err := w.store.Get(ctx, key)
	if err != nil {
		return err
	}
	var m schemas.Manifest
	if err := schemas.DecodeStrict(data, &m); err != nil {
		return schemas.Errorf(schemas.CorruptData, "read %s: %w", w.store.URI(key), err)
	}
	if !w.manifest(&m) {
		return nil
	}
	to, err := hashed(folder, m)
	if err != nil {
		return err
	}
	if err := w.put(ctx, key, to, data, m, "references"); err != nil || w.dry {
		return err
	}
	if err := store.Move(ctx, w.store, key, to); err != nil {
		return err
	}
	return w.store.Delete(ctx, key)
}

// hashed is the key of a document that is named by its hash.
func hashed(folder string, document any) (string, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return "", schemas.Errorf(schemas.Internal, "encode a document of %s: %w", folder, err)
	}
	return folder + sumOf(string(data)) + ".json", nil
}

// taught notes a training whose input held rows that go.
func (w *work) taught(key string, r schemas.CommitRecord) {
	if r.Stage != "train" {
		return
	}
	held := map[string]bool{}
	for _, o := range w.plan.Objects {
		held[o.SHA256] = true
	}
	for _, input := range r.Inputs {
		if held[input] {
			w.proof.Models = append(w.proof.Models, TaughtModel{Record: w.store.URI(key), Job: r.Job})
			return
		}
	}
}

// promoted names the models that such trainings became.
func (w *work) promoted(ctx context.Context) error {
	if len(w.proof.Models) == 0 {
		return nil
	}
	names, err := store.Models(ctx, w.store)
	if err != nil {
		return err
	}
	for _, name := range names {
		numbers, err := store.ModelVersions(ctx, w.store, name)
		if err != nil {
			return err
		}
		for _, number := range numbers {
			v, err := store.ModelVersion(ctx, w.store, name, number)
			if err != nil {
				return err
			}
			for i := range w.proof.Models {
				if m := &w.proof.Models[i]; m.Job == v.Training.Job {
					m.Promoted = append(m.Promoted, w.store.URI(store.ModelKey(name, number)))
				}
			}
		}
	}
	return nil
}

// texts removes reports that show the rows, and what failed shards said of them.
func (w *work) texts(ctx context.Context) error {
	for _, folder := range []string{"reports/", "experiments/", "runs/"} {
		keys, err := w.store.List(ctx, folder, "", 0)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if folder == "runs/" && !strings.Contains(key, "/failed/") {
				continue
			}
			data, err := w.store.Get(ctx, key)
			if err != nil {
				return err
			}
			if !w.shown(string(data)) {
				continue
			}
			var failures []schemas.ShardFailure
			if folder == "runs/" && json.Unmarshal(data, &failures) == nil {
				for i := range failures {
					if w.shown(failures[i].Message) {
						failures[i].Message = "forgotten"
					}
				}
				if err := w.put(ctx, key, key, data, failures, "text"); err != nil {
					return err
				}
				continue
			}
			w.change(Change{Key: key, SHA256: sumOf(string(data)), What: "text"})
			if !w.dry {
				if err := w.store.Delete(ctx, key); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// shown reports whether a text, or a page of HTML, shows the rows.
func (w *work) shown(text string) bool {
	return w.needles.in(text) || strings.Contains(text, "&") && w.needles.in(html.UnescapeString(text))
}

// cache removes the replies about the forgotten, those that show their texts, and
// those of which nobody knows whom they are about.
func (w *work) cache(ctx context.Context) error {
	owners := cache.NewOwners(w.closure.owners())
	// Parts that were merged while they were read are looked at again.
	for range 3 {
		done, err := cache.Scrub(ctx, w.store, func(e cache.Entry) bool {
			if !e.Tagged() {
				w.proof.Untagged++
				return true
			}
			return owners.Own(e) || w.shown(e.Text)
		}, w.dry)
		for _, p := range done {
			w.proof.Cache = append(w.proof.Cache, CacheChange{p.Key, p.SHA256, p.Entries, p.Removed, p.After, p.AfterSHA256})
		}
		if err != nil || len(done) == 0 || w.dry {
			return err
		}
	}
	return nil
}
