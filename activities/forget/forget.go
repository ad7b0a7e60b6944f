package forget

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// plan is what a removal must know to go on after it was cut short. It lies in the
// store from before the first deletion until the proof is written.
type plan struct {
	Closure    *closure `json:"closure"`
	Needles    []needle `json:"needles"`
	Shared     int      `json:"shared"`
	Short      int      `json:"short"`
	Tombstones []string `json:"tombstones"`
	// Keys are the users' own ids.
	Keys    set               `json:"keys"`
	Objects map[string]object `json:"objects"` // by key
}

// object is one object with rows that go.
type object struct {
	Table   string         `json:"table"`
	SHA256  string         `json:"sha256"`
	Rows    int64          `json:"rows"`
	Removed int64          `json:"removed"`
	After   schemas.Object `json:"after"`
}

// work is one removal.
type work struct {
	store   store.Store
	request Request
	dry     bool
	closure *closure
	needles *needles
	// users brought what is forgotten for good, origins only single rows of it.
	users, origins map[origin]bool
	plan           plan
	proof          Proof
}

func (r Request) planKey() string { return store.ForgottenFolder + "plans/" + r.id() + ".json" }

// Forget removes what a request names and returns the proof with its URI. A dry
// run writes nothing and returns what would go, with no search. at is when it
// began, for the proof alone.
//
// No run may be at work: one that is would bring rows back. A removal that was cut
// short goes on when the same request is made again. If anything is found after
// it, the error is CorruptData, the proof names the objects and the plan stays.
func Forget(ctx context.Context, s store.Store, r Request, at string, dry bool) (Proof, string, error) {
	r, err := r.clean()
	if err != nil {
		return Proof{}, "", err
	}
	w := &work{store: s, request: r, dry: dry, closure: newClosure(), needles: newNeedles(nil),
		users: map[origin]bool{}, origins: map[origin]bool{}, plan: plan{Closure: newClosure(), Keys: set{}, Objects: map[string]object{}}}
	w.proof = Proof{Request: r.id(), At: at, DryRun: dry, Rows: map[string]int64{}, Objects: []Change{}, Search: Search{Found: []string{}}}
	resumed, err := w.resume(ctx)
	if err != nil {
		return Proof{}, "", err
	}
	unknown, err := w.roots(ctx)
	if err != nil {
		return Proof{}, "", err
	}
	if !resumed && len(unknown) == len(r.Profiles)+len(r.Personas)+len(r.Users) {
		if err := w.known(ctx, unknown); err != nil {
			return Proof{}, "", err
		}
	}
	if !resumed {
		w.proof.Unknown = len(unknown)
	}
	if err := w.scan(ctx); err != nil {
		return Proof{}, "", err
	}
	uri, err := w.run(ctx)
	return w.proof, uri, err
}

// known refuses ids that no row ever had: most likely they are mistyped.
func (w *work) known(ctx context.Context, unknown []string) error {
	stones, err := store.GetForgotten(ctx, w.store)
	if err != nil {
		return err
	}
	for _, id := range unknown {
		if stones[store.Tombstone("profile", id)] || stones[store.Tombstone("persona", id)] || stones[userStone(id)] {
			return nil
		}
	}
	return schemas.Errorf(schemas.NotFound, "forget: no row is of %.100q, nor of the other ids: a profile and a persona are named by the id in their table, a user by the id that the imported file gave", unknown[0])
}

// userStone marks a user's key as forgotten as it was given.
func userStone(key string) string { return store.Tombstone("key", key) }

// resume takes up what an earlier removal of the same rows knew.
func (w *work) resume(ctx context.Context) (bool, error) {
	data, err := w.store.Get(ctx, w.request.planKey())
	if err != nil {
		if schemas.TypeOf(err) == schemas.NotFound {
			err = nil
		}
		return false, err
	}
	if err := json.Unmarshal(data, &w.plan); err != nil {
		return false, schemas.Errorf(schemas.CorruptData, "read %s: %w", w.store.URI(w.request.planKey()), err)
	}
	w.closure.add(w.plan.Closure)
	w.needles = newNeedles(w.plan.Needles)
	return true, nil
}

// scan finds all rows that go, table by table, and what to search for afterwards.
func (w *work) scan(ctx context.Context) error {
	if err := w.tablesKnown(ctx); err != nil {
		return err
	}
	for _, c := range w.tables() {
		err := objectsOf(ctx, w.store, c.table, func(key string, data []byte) error {
			rows, removed, err := c.scan(data, func(string) {}, func(text string) {
				if text != "" && !w.needles.text(text) {
					w.plan.Short++
				}
			})
			if err == nil && removed > 0 {
				w.plan.Objects[key] = object{Table: c.table, SHA256: sumOf(string(data)), Rows: rows, Removed: removed}
			}
			return err
		})
		if err != nil {
			return err
		}
		if c.table == schemas.TableEvaluation {
			// What was set aside is told by ids and texts, so these come first.
			if err := w.complete(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// tablesKnown refuses a bucket with a table whose rows nobody here can tell apart:
// a newer program made it.
func (w *work) tablesKnown(ctx context.Context) error {
	known := map[string]bool{}
	for _, c := range w.tables() {
		known[c.table] = true
	}
	for after := ""; ; {
		keys, err := w.store.List(ctx, "data/", after, 1)
		if err != nil || len(keys) == 0 {
			return err
		}
		table, _, _ := strings.Cut(strings.TrimPrefix(keys[0], "data/"), "/")
		if !known[table] {
			return schemas.Errorf(schemas.InvalidInput, "forget: the bucket has a table %.100q, which this program does not know: use the one that made it", table)
		}
		after = "data/" + table + "0" // '0' follows '/' in the order of bytes
	}
}

// complete makes the needles what is searched for.
func (w *work) complete(ctx context.Context) error {
	for id := range w.closure.Rows {
		w.needles.id(id)
	}
	for o := range w.users {
		w.plan.Keys[o.ID] = true
	}
	for key := range w.plan.Keys {
		if !w.needles.key(key) {
			w.plan.Short++
		}
	}
	return w.unshare(ctx)
}

// unshare takes out of the search what stands in other people's rows as well.
func (w *work) unshare(ctx context.Context) error {
	shared := map[needle]bool{}
	for _, c := range w.tables() {
		if !c.source {
			continue
		}
		err := objectsOf(ctx, w.store, c.table, func(_ string, data []byte) error {
			_, _, err := c.scan(data, func(text string) {
				for _, form := range []string{text, escape(text, false), escape(text, true)} {
					w.needles.search(form, func(n needle) bool {
						if !n.ID {
							shared[n] = true
						}
						return true
					})
				}
			}, func(string) {})
			return err
		})
		if err != nil {
			return err
		}
	}
	all := slices.Collect(maps.Keys(shared))
	w.needles.drop(all)
	w.plan.Shared += len(all)
	return nil
}

// run carries the plan out.
func (w *work) run(ctx context.Context) (uri string, err error) {
	if err := w.allowed(ctx); err != nil {
		return "", err
	}
	w.plan.Closure, w.plan.Needles = w.closure, w.needles.all()
	w.plan.Tombstones = slices.Compact(slices.Sorted(slices.Values(append(w.plan.Tombstones, w.tombstones()...))))
	w.proof.Tombstones = w.plan.Tombstones
	for _, key := range slices.Sorted(maps.Keys(w.plan.Objects)) {
		w.proof.Rows[w.plan.Objects[key].Table] += w.plan.Objects[key].Removed
	}
	steps := []func(context.Context) error{w.documents, w.watermarks, w.versions, w.texts, w.cache}
	if !w.dry {
		steps = slices.Concat([]func(context.Context) error{w.bury, w.rewrite, w.save}, steps, []func(context.Context) error{w.remove, w.search})
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return "", err
		}
	}
	if w.dry {
		for _, key := range slices.Sorted(maps.Keys(w.plan.Objects)) {
			o := w.plan.Objects[key]
			w.change(Change{Key: key, SHA256: o.SHA256, Rows: o.Rows, Removed: o.Removed, What: "rows"})
		}
		return "", nil
	}
	return w.conclude(ctx)
}

func (w *work) change(c Change) { w.proof.Objects = append(w.proof.Objects, c) }

// rewrite writes the objects without the rows.
func (w *work) rewrite(ctx context.Context) error {
	for _, c := range w.tables() {
		for _, key := range slices.Sorted(maps.Keys(w.plan.Objects)) {
			o := w.plan.Objects[key]
			if o.Table != c.table || o.After.Key != "" {
				continue
			}
			data, err := w.store.Get(ctx, key)
			if err != nil {
				return err
			}
			if o.After, err = c.rewrite(ctx, w.store, data); err != nil {
				return err
			}
			w.plan.Objects[key] = o
		}
	}
	return nil
}

func (w *work) save(ctx context.Context) error {
	data, err := json.Marshal(w.plan)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode the plan of a removal: %w", err)
	}
	return w.store.Put(ctx, w.request.planKey(), data)
}

// remove deletes the objects that held the rows, now that nothing names them, and
// the collector's trash, which may hold copies.
func (w *work) remove(ctx context.Context) error {
	if err := w.removeFolder(ctx, "trash/"); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(w.plan.Objects)) {
		o := w.plan.Objects[key]
		if err := w.store.Delete(ctx, key); err != nil {
			return err
		}
		w.change(Change{Key: key, SHA256: o.SHA256, Rows: o.Rows, Removed: o.Removed, After: o.After.Key, AfterSHA256: o.After.SHA256, What: "rows"})
	}
	return nil
}

// conclude writes the proof; a complete one ends the removal.
func (w *work) conclude(ctx context.Context) (uri string, err error) {
	prefix := store.ForgottenFolder + "proofs/" + w.proof.Request + "-"
	before, err := w.store.List(ctx, prefix, "", 0)
	if err != nil {
		return "", err
	}
	data, err := json.MarshalIndent(w.proof, "", "  ")
	if err != nil {
		return "", schemas.Errorf(schemas.Internal, "encode a proof: %w", err)
	}
	key := fmt.Sprintf("%s%05d.json", prefix, len(before)+1)
	if err := w.store.Put(ctx, key, append(data, '\n')); err != nil {
		return "", err
	}
	uri = w.store.URI(key)
	if n := len(w.proof.Search.Found); n > 0 {
		return uri, schemas.Errorf(schemas.CorruptData, "%d objects still hold what was to be forgotten, such as %s; the proof %s names them: stop what writes to the bucket and repeat the command",
			n, strings.Join(w.proof.Search.Found[:min(n, 2)], ", "), uri)
	}
	return uri, w.store.Delete(ctx, w.request.planKey())
}
