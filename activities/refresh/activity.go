package refresh

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/schemas"
)

// Activities of the refresh step.
type Activities struct {
	Store store.Store
	// ParquetReader is the command that reads Parquet files of foreign origin, this
	// program itself if it is nil.
	ParquetReader []string
}

// FindInput names a source and the data set that is to consume it.
type FindInput struct {
	Dataset      string  `json:"dataset"`
	Source       string  `json:"source"`
	EvalFraction float64 `json:"eval_fraction"`
	// Generation, if it is not that of the data set's newest version, makes
	// everything new.
	Generation int64 `json:"generation"`
}

// maxRefused bounds the refused objects that the result lists.
const maxRefused = 3

// FindNewProfiles compares a source with what the newest version of a data set
// has consumed. The new profiles become an import manifest and the watermark of
// the version to be made, both named by their content: the same new rows give the
// same manifest and so the same jobs. Where nothing is new nothing is written.
func (a *Activities) FindNewProfiles(ctx context.Context, in FindInput) (schemas.FoundProfiles, error) {
	newest, _, err := store.LatestVersion(ctx, a.Store, in.Dataset)
	if err != nil {
		return schemas.FoundProfiles{}, err
	}
	out := schemas.FoundProfiles{Extension: schemas.Extension{Parent: newest.Number, Watermark: newest.Watermark}}
	mark, err := a.consumed(ctx, newest)
	if err != nil {
		return out, err
	}
	if mark.Generation != in.Generation {
		mark, out.Anew = schemas.Watermark{}, true
	}
	f := newFinder(a.Store, mark)
	f.parquet = a.parquetLines
	if f.buried, err = store.GetForgotten(ctx, a.Store); err != nil {
		return out, err
	}
	if err := f.read(ctx, in.Source, in.EvalFraction); err != nil {
		return out, err
	}
	out.Unchanged, out.Refused, out.RefusedFirst = f.unchanged, f.refused, f.refusedFirst
	out.Forgotten = f.forgotten
	found := f.found()
	if !slices.ContainsFunc(found.Profiles, func(p schemas.Profile) bool { return p.Split == schemas.SplitTrain }) {
		out.Waiting, out.Anew = int64(len(found.Profiles)), false
		return out, nil
	}
	uri, _, err := profile.Write(ctx, a.Store, found, profile.ShardSize(len(found.Profiles)))
	if err != nil {
		return out, err
	}
	out.New, out.Manifest = int64(len(found.Profiles)), uri
	out.Watermark, err = store.PutWatermark(ctx, a.Store, f.watermark(in.Dataset, in.Generation))
	return out, err
}

// consumed is the watermark of a version. One without, which some run made by
// itself, has consumed the profiles of its manifest.
func (a *Activities) consumed(ctx context.Context, v schemas.DatasetVersion) (schemas.Watermark, error) {
	if v.Watermark != "" {
		mark, err := store.GetWatermark(ctx, a.Store, v.Watermark)
		if err == nil && mark.Dataset != v.Dataset {
			err = schemas.Errorf(schemas.CorruptData, "read %s: it is the watermark of data set %.100q, not of %q", v.Watermark, mark.Dataset, v.Dataset)
		}
		return mark, err
	}
	mark := schemas.Watermark{}
	if v.Number == 0 {
		return mark, nil
	}
	m, err := store.GetManifest(ctx, a.Store, v.Manifest)
	if err != nil {
		return mark, err
	}
	for _, o := range m.Objects(schemas.TableProfile) {
		rows, err := store.GetRows[schemas.Profile](ctx, a.Store, o)
		if err != nil {
			return mark, err
		}
		for _, p := range rows {
			mark.Profiles = append(mark.Profiles, p.ProfileID)
		}
		mark.Objects = append(mark.Objects, schemas.ConsumedObject{Key: o.Key, SHA256: o.SHA256})
	}
	return mark, nil
}

// finder collects what is new in a source.
type finder struct {
	store store.Store
	// objects has the consumed version of each object, rows the consumed profiles.
	objects map[string]string
	rows    map[string]bool
	// parquet turns a Parquet file into lines.
	parquet func(ctx context.Context, data []byte) ([]byte, error)
	// buried are the profiles that must not come back.
	buried store.Forgotten

	fresh        map[string]schemas.Profile
	turns        []schemas.Turn
	unchanged    int
	forgotten    int
	refused      int
	refusedFirst []schemas.RefusedObject
}

func newFinder(s store.Store, mark schemas.Watermark) *finder {
	f := &finder{store: s, objects: map[string]string{}, rows: map[string]bool{}, fresh: map[string]schemas.Profile{}}
	for _, o := range mark.Objects {
		f.objects[o.Key] = o.SHA256
	}
	for _, id := range mark.Profiles {
		f.rows[id] = true
	}
	return f
}

func (f *finder) read(ctx context.Context, source string, evalFraction float64) error {
	if strings.HasSuffix(source, "/") {
		return f.readFolder(ctx, source, profile.Options{EvalFraction: evalFraction})
	}
	return f.readManifest(ctx, source)
}

// take adds the profiles of one object that no other one had, with their turns.
func (f *finder) take(profiles []schemas.Profile, turns []schemas.Turn) {
	here := map[string]bool{}
	for _, p := range profiles {
		if f.buried.Profile(p) {
			f.forgotten++
			continue
		}
		if _, doubled := f.fresh[p.ProfileID]; !doubled && !f.rows[p.ProfileID] {
			f.fresh[p.ProfileID], here[p.ProfileID] = p, true
		}
	}
	for _, t := range turns {
		if here[t.ProfileID] {
			f.turns = append(f.turns, t)
		}
	}
}

// found is what is new, by id, so that it does not matter which object held what.
func (f *finder) found() profile.Imported {
	var in profile.Imported
	for _, p := range f.fresh {
		in.Profiles = append(in.Profiles, p)
	}
	slices.SortFunc(in.Profiles, func(a, b schemas.Profile) int { return cmp.Compare(a.ProfileID, b.ProfileID) })
	in.Turns = f.turns
	n := int64(len(in.Profiles))
	in.Books = schemas.Books{In: n, OK: n}
	return in
}

func (f *finder) watermark(dataset string, generation int64) schemas.Watermark {
	w := schemas.Watermark{Dataset: dataset, Generation: generation}
	for key, sum := range f.objects {
		w.Objects = append(w.Objects, schemas.ConsumedObject{Key: key, SHA256: sum})
	}
	slices.SortFunc(w.Objects, func(a, b schemas.ConsumedObject) int { return cmp.Compare(a.Key, b.Key) })
	for id := range f.rows {
		w.Profiles = append(w.Profiles, id)
	}
	for id := range f.fresh {
		w.Profiles = append(w.Profiles, id)
	}
	slices.Sort(w.Profiles)
	return w
}
