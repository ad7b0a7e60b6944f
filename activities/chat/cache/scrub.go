package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// tagBytes is how much of an owner's hash tags an entry: with a million owners no
// two are expected to share a tag.
const tagBytes = 12

// ownerTags are the tags of owners, sorted, one behind the other. Ids are not
// written, so that the cache names nobody.
func ownerTags(owners []string) string {
	tags := make([]string, len(owners))
	for i, owner := range owners {
		sum := sha256.Sum256([]byte("rpo owner 1\x00" + owner))
		tags[i] = string(sum[:tagBytes])
	}
	slices.Sort(tags)
	return strings.Join(slices.Compact(tags), "")
}

// Entry is a kept reply or refusal, as far as Walk and Scrub show it.
type Entry struct {
	Text string
	tags string
}

// Tagged says that the caller named owners when the call was made.
func (e Entry) Tagged() bool { return e.tags != "" }

// Owners are sets of owners' tags.
type Owners map[string]bool

// NewOwners makes the set of some owners.
func NewOwners(ids []string) Owners {
	out := Owners{}
	for _, id := range ids {
		out[ownerTags([]string{id})] = true
	}
	return out
}

// Own reports whether the entry is about one of the owners.
func (o Owners) Own(e Entry) bool {
	for tags := e.tags; len(tags) >= tagBytes; tags = tags[tagBytes:] {
		if o[tags[:tagBytes]] {
			return true
		}
	}
	return false
}

// Scrubbed is what became of one part.
type Scrubbed struct {
	// Key is the object with the part's bodies, SHA256 its hash.
	Key    string
	SHA256 string
	// Entries stood in it, Removed are gone.
	Entries, Removed int64
	// After names the part that holds the rest, "" if nothing is left.
	After, AfterSHA256 string
	// Unreadable is a part that is damaged or has no index, and goes as a whole.
	Unreadable bool
}

// Scrub removes the entries that drop chooses from all parts of all models and
// returns the parts that held any. Whatever cannot be read is removed as a whole,
// since nobody can say what it holds. With dry nothing is written.
//
// The part with the rest is written before the old one is deleted. A worker that
// merges parts at the same time may bring entries back: stop the work first, and
// Walk afterwards.
func Scrub(ctx context.Context, objects store.Store, drop func(Entry) bool, dry bool) ([]Scrubbed, error) {
	var out []Scrubbed
	err := eachPart(ctx, objects, func(p storedPart) error {
		done := Scrubbed{Key: p.folder + p.name + ".dat", SHA256: p.sum, Unreadable: p.records == nil}
		var kept []record
		for _, r := range p.records {
			done.Entries++
			if drop(Entry{r.text, r.owner}) {
				done.Removed++
			} else {
				kept = append(kept, r)
			}
		}
		if done.Removed == 0 && !done.Unreadable {
			return nil
		}
		if len(kept) > 0 {
			dat, h, places := encodePart(kept)
			// Named after what it holds: repeated, it is the same object.
			name := mergedName([]string{hex.EncodeToString(h.sum[:]), p.name})
			done.After, done.AfterSHA256 = p.folder+name+".dat", hex.EncodeToString(h.sum[:])
			if !dry {
				if err := objects.Put(ctx, done.After, dat); err != nil {
					return err
				}
				if err := objects.Put(ctx, p.folder+name+".idx", encodeIndex(h, places)); err != nil {
					return err
				}
			}
		}
		out = append(out, done)
		if dry {
			return nil
		}
		for _, ending := range []string{".idx", ".dat"} {
			if err := objects.Delete(ctx, p.folder+p.name+ending); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Walk shows every entry with the object that holds it. unreadable is told of
// objects of which nobody can say what they hold.
func Walk(ctx context.Context, objects store.Store, visit func(key string, e Entry), unreadable func(key string)) error {
	return eachPart(ctx, objects, func(p storedPart) error {
		key := p.folder + p.name + ".dat"
		if p.records == nil {
			unreadable(key)
		}
		for _, r := range p.records {
			visit(key, Entry{r.text, r.owner})
		}
		return nil
	})
}

// storedPart is a part as it lies in the store. records is nil for one that is
// damaged or not whole.
type storedPart struct {
	folder, name, sum string
	records           []record
}

func eachPart(ctx context.Context, objects store.Store, do func(storedPart) error) error {
	keys, err := objects.List(ctx, root, "", 0)
	if err != nil {
		return err
	}
	ends := map[string][]string{} // of the objects of a part
	for _, key := range keys {
		dot := strings.LastIndexByte(key, '.')
		if dot < strings.LastIndexByte(key, '/') {
			dot = len(key)
		}
		ends[key[:dot]] = append(ends[key[:dot]], key[dot:])
	}
	names := make([]string, 0, len(ends))
	for name := range ends {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare)
	for _, name := range names {
		slash := strings.LastIndexByte(name, '/')
		p := storedPart{folder: name[:slash+1], name: name[slash+1:]}
		if err := p.read(ctx, objects); err != nil {
			if schemas.TypeOf(err) == schemas.NotFound {
				continue // merged meanwhile
			}
			return err
		}
		if err := do(p); err != nil {
			return err
		}
	}
	return nil
}

// read reads all records of a part. A store that does not answer is an error; a
// part that is not what was written has no records.
func (p *storedPart) read(ctx context.Context, objects store.Store) error {
	dat, err := objects.Get(ctx, p.folder+p.name+".dat")
	if schemas.TypeOf(err) == schemas.NotFound && err != nil {
		if there, err := objects.Exists(ctx, p.folder+p.name+".idx"); err != nil || there {
			return err
		}
		return err
	}
	if err != nil && schemas.TypeOf(err) != schemas.CorruptData {
		return err
	}
	h := headerOf(dat)
	p.sum = hex.EncodeToString(h.sum[:])
	b, damaged := openBody(dat, h)
	if err != nil || damaged != nil {
		return nil
	}
	records := []record{}
	for i := range b.blocks {
		rest, err := b.decode(uint16(i))
		for err == nil && len(rest) > 0 {
			var r record
			if r, rest, err = nextEntry(rest); err == nil {
				records = append(records, r)
			}
		}
		if err != nil {
			return nil
		}
	}
	p.records = records
	return nil
}
