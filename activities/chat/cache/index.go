package cache

import (
	"strings"
	"time"
)

// A ref is a part's number, a block's and an offset in it, in 28, 16 and 20 bits.
type ref uint64

const (
	blockBits  = 16
	offsetBits = 20
)

func refOf(part uint32, p place) ref {
	return ref(part)<<(blockBits+offsetBits) | ref(p.block)<<offsetBits | ref(p.offset)
}

func (r ref) part() uint32   { return uint32(r >> (blockBits + offsetBits)) }
func (r ref) block() uint16  { return uint16(r >> offsetBits) }
func (r ref) offset() uint32 { return uint32(r) & (1<<offsetBits - 1) }

// part is what a process knows of a part.
type part struct {
	header
	number uint32
	// name is the key of its objects without folder and ending. It begins with
	// the time at which the part, or the latest of those merged into it, was
	// written, so that a listing is in that order.
	name string
	// mine is a part of this process.
	mine bool
	// refs counts the index's entries that point here.
	refs int
}

// nameTime is the form of the time in a part's name.
const nameTime = "20060102T150405"

// writtenBefore reports whether the name says that the part is older than t.
func writtenBefore(name string, t time.Time) bool {
	stamp, _, _ := strings.Cut(name, "-")
	at, err := time.Parse(nameTime, stamp)
	return err == nil && at.Before(t)
}

// index finds entries by the first 8 bytes of their key, 16 bytes an entry plus
// what a map needs. Two keys with equal beginnings are told apart when the entry
// is read: the one that was added first is then not found, which costs a call
// and happens once in 30 million for a million entries.
type index struct {
	refs  map[uint64]ref
	parts map[uint32]*part
	names map[string]*part
	next  uint32
}

func newIndex() *index {
	return &index{refs: map[uint64]ref{}, parts: map[uint32]*part{}, names: map[string]*part{}}
}

// expect makes room in an index that is empty.
func (x *index) expect(loaded []loadedIndex) {
	n := 0
	for _, l := range loaded {
		n += len(l.places)
	}
	if len(x.refs) == 0 {
		x.refs = make(map[uint64]ref, n)
	}
}

// add makes a part's entries known, over those of parts that were added before:
// a merged part comes after those it replaces.
func (x *index) add(p *part, places []place) {
	x.enter(p)
	for _, at := range places {
		x.point(at.prefix, refOf(p.number, at))
	}
}

func (x *index) enter(p *part) {
	p.number, p.refs = x.next, 0
	x.next = (x.next + 1) & (1<<28 - 1)
	x.parts[p.number], x.names[p.name] = p, p
}

func (x *index) point(prefix uint64, r ref) {
	if old, ok := x.refs[prefix]; ok {
		if p := x.parts[old.part()]; p != nil {
			p.refs--
		}
	}
	x.refs[prefix] = r
	x.parts[r.part()].refs++
}

// drop forgets a part and reports whether entries pointed to it: another part
// may hold them as well, which only reading all indexes again can tell.
func (x *index) drop(p *part) (pointed bool) {
	if x.parts[p.number] != p {
		return false
	}
	delete(x.parts, p.number)
	delete(x.names, p.name)
	return p.refs > 0
}

// find returns where a key may stand.
func (x *index) find(k key) (*part, ref, bool) {
	r, ok := x.refs[k.prefix()]
	if !ok {
		return nil, 0, false
	}
	p := x.parts[r.part()]
	return p, r, p != nil
}
