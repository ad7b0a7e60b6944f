package cache

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// some makes n records of up to size bytes of text.
func some(r *rand.Rand, n, size int) []record {
	records := make([]record, n)
	for i := range records {
		for j := 0; j < len(records[i].key); j += 8 {
			v := r.Uint64()
			for k := range 8 {
				records[i].key[j+k] = byte(v >> (8 * k))
			}
		}
		records[i].entry = entry{kind(r.IntN(2)), strings.Repeat("word ", r.IntN(size/5+1)), []string{"stop", "length", ""}[r.IntN(3)], "model", []string{"", ownerTags([]string{"a", "b"})}[r.IntN(2)]}
	}
	return records
}

// seal puts the checksum behind what an index holds, as a writer with a defect would.
func seal(idx []byte) []byte {
	sum := sha256.Sum256(idx)
	return append(bytes.Clone(idx), sum[:]...)
}

func TestAPartComesBackEntryByEntry(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ n, size int }{{1, 0}, {1, 600 << 10}, {3000, 500}, {40, 100 << 10}} {
		records := some(r, c.n, c.size)
		dat, h, places := encodePart(records)
		gotHeader, gotPlaces, err := decodeIndex(encodeIndex(h, places))
		if err != nil || gotHeader != h || len(gotPlaces) != c.n {
			t.Fatalf("%+v: index %v, %d places, %v", c, gotHeader, len(gotPlaces), err)
		}
		b, err := openBody(dat, h)
		if err != nil {
			t.Fatal(err)
		}
		byKey := map[key]record{}
		for _, at := range gotPlaces {
			block, err := b.decode(at.block)
			if err != nil {
				t.Fatal(err)
			}
			got, err := entryAt(block, at.offset)
			if err != nil || got.key.prefix() != at.prefix {
				t.Fatalf("place %+v: %v", at, err)
			}
			byKey[got.key] = got
		}
		for _, want := range records {
			if byKey[want.key] != want {
				t.Fatalf("got %+v, want %+v", byKey[want.key], want)
			}
		}
	}
}

func TestAChangedByteIsNoticed(t *testing.T) {
	dat, h, places := encodePart(some(rand.New(rand.NewPCG(1, 2)), 20, 50))
	idx := encodeIndex(h, places)
	for i := range dat {
		bad := bytes.Clone(dat)
		bad[i] ^= 1
		if _, err := openBody(bad, h); err == nil {
			t.Errorf("byte %d of the bodies", i)
		}
	}
	for i := range idx {
		bad := bytes.Clone(idx)
		bad[i] ^= 1
		if _, _, err := decodeIndex(bad); err == nil {
			t.Errorf("byte %d of the index", i)
		}
	}
}

// FuzzIndex changes an index as a writer with a defect would, since any other
// change fails at the checksum: what is accepted is written the same again.
func FuzzIndex(f *testing.F) {
	_, h, places := encodePart(some(rand.New(rand.NewPCG(1, 2)), 3, 50))
	idx := encodeIndex(h, places)
	f.Add(idx[:len(idx)-sha256.Size])
	f.Add([]byte(idxMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeIndex(data)
		sealed := seal(data)
		if h, places, err := decodeIndex(sealed); err == nil && !bytes.Equal(encodeIndex(h, places), sealed) {
			t.Errorf("%x is read as %v %v", sealed, h, places)
		}
	})
}

// FuzzBody reads everything that a body could hold: no bytes crash the reader,
// and an entry that is read was written there.
func FuzzBody(f *testing.F) {
	dat, _, _ := encodePart(some(rand.New(rand.NewPCG(1, 2)), 3, 50))
	f.Add(dat, uint32(0))
	f.Add(appendBlock([]byte(datMagic), []byte("short")), uint32(3))
	f.Fuzz(func(t *testing.T, dat []byte, offset uint32) {
		b, err := openBody(dat, headerOf(dat))
		if err != nil {
			return
		}
		for i := range b.blocks {
			block, err := b.decode(uint16(i))
			if err != nil {
				continue
			}
			entryAt(block, offset)
		}
	})
}

// FuzzEntry reads an entry from any bytes; what is read takes its place when
// written again.
func FuzzEntry(f *testing.F) {
	f.Add(append(make([]byte, 33), 1, 'a', 0, 2, 'b', 'c'), uint32(0))
	f.Fuzz(func(t *testing.T, block []byte, offset uint32) {
		r, err := entryAt(block, offset)
		if err != nil {
			return
		}
		dat, h, places := encodePart([]record{r})
		b, err := openBody(dat, h)
		if err != nil {
			t.Fatal(err)
		}
		again, err := b.decode(places[0].block)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := entryAt(again, 0); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	})
}
