package forget

import (
	"context"
	"maps"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// Request names whose rows go.
type Request struct {
	// Profiles and Personas are ids of rows.
	Profiles []string
	Personas []string
	// Users are ids that a source gave to profiles, personas or seeds: "ID", or
	// "SOURCE:ID" where several sources gave that one. All that a user brought is
	// forgotten, and what the user brings later is refused by refreshes.
	Users []string
	// Dataset, if not "", is the one data set (with its baselines) that may get a new
	// version: a request that reaches others is refused.
	Dataset string
}

func (r Request) clean() (Request, error) {
	for _, list := range []*[]string{&r.Profiles, &r.Personas, &r.Users} {
		*list = slices.Compact(slices.Sorted(slices.Values(*list)))
		if slices.Contains(*list, "") {
			return r, schemas.Errorf(schemas.InvalidInput, "forget: an id is empty")
		}
	}
	if len(r.Profiles)+len(r.Personas)+len(r.Users) == 0 {
		return r, schemas.Errorf(schemas.InvalidInput, "forget: name at least one profile, persona or user")
	}
	return r, nil
}

// id is equal for equal requests, so that one that was cut short goes on.
func (r Request) id() string {
	return schemas.ID("forget", strings.Join(r.Profiles, "\x01"), strings.Join(r.Personas, "\x01"), strings.Join(r.Users, "\x01"))
}

// origin is the place of a row in its source.
type origin struct{ Source, ID string }

// names reports whether a user's key means the origin.
func (o origin) names(key string) bool { return key == o.ID || key == o.Source+":"+o.ID }

// roots finds the rows that the request names and all that came from the same
// users, and returns the keys that nothing is found for.
func (w *work) roots(ctx context.Context) (unknown []string, err error) {
	found := map[string]bool{}
	sources := map[string]map[string]bool{} // of users' bare keys
	user := func(source, id string) bool {
		o, hit := origin{source, id}, false
		for _, key := range w.request.Users {
			if !o.names(key) {
				continue
			}
			hit, found[key] = true, true
			if key == id {
				if sources[key] == nil {
					sources[key] = map[string]bool{}
				}
				sources[key][source] = true
			}
		}
		return hit
	}
	note := func(id, source, sourceID string, named bool) {
		if user(source, sourceID) {
			w.users[origin{source, sourceID}] = true
		}
		if named {
			found[id] = true
			w.origins[origin{source, sourceID}] = true
		}
	}
	err = errorsOf(
		eachRow(ctx, w.store, schemas.TableProfile, func(p schemas.Profile) {
			note(p.ProfileID, p.Source, p.SourceID, slices.Contains(w.request.Profiles, p.ProfileID))
		}),
		eachRow(ctx, w.store, schemas.TablePersona, func(p schemas.Persona) {
			note(p.PersonaID, p.Source, p.SourceID, slices.Contains(w.request.Personas, p.PersonaID))
		}),
		eachRow(ctx, w.store, schemas.TableSeed, func(p schemas.Seed) { note("", p.Source, p.SourceID, false) }),
	)
	if err != nil {
		return nil, err
	}
	for key, of := range sources {
		if len(of) > 1 {
			return nil, schemas.Errorf(schemas.InvalidInput, "forget user %.100q: %d sources gave that id: say which, as %.100q",
				key, len(of), slices.Sorted(maps.Keys(of))[0]+":"+key)
		}
	}
	for _, list := range [][]string{w.request.Profiles, w.request.Personas, w.request.Users} {
		for _, id := range list {
			if !found[id] {
				unknown = append(unknown, id)
			}
		}
	}
	return unknown, nil
}

// bury writes the tombstones of a request.
func (w *work) bury(ctx context.Context) error {
	for _, stone := range w.tombstones() {
		if err := store.Bury(ctx, w.store, stone); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) tombstones() (out []string) {
	for _, id := range w.request.Profiles {
		out = append(out, store.Tombstone("profile", id))
	}
	for _, id := range w.request.Personas {
		out = append(out, store.Tombstone("persona", id))
	}
	for _, key := range w.request.Users {
		out = append(out, userStone(key))
	}
	for o := range w.users {
		out = append(out, store.Tombstone("user", o.Source, o.ID))
	}
	slices.Sort(out)
	return out
}
