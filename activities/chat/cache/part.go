package cache

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	datMagic = "rpo calls 1\n"
	idxMagic = "rpo index 1\n"

	// blockTarget is the size at which a block is closed: entries begin below it.
	// It bounds what is decoded for one entry.
	blockTarget = 256 << 10
	// maxBlocks and blockTarget are what a place has bits for.
	maxBlocks = 1 << 16
	// maxBlock bounds what a damaged header can have allocated. It is far above
	// what a reply can hold (chat reads at most 16 MiB of one).
	maxBlock = 128 << 20

	idxHead   = len(idxMagic) + sha256.Size + 8 + 4
	idxRecord = 8 + 2 + 4
)

// kind says what an entry holds.
type kind byte

const (
	// choice is a sampled continuation.
	choice kind = 0
	// refusal is a request that the endpoint refuses for good; text says why.
	refusal kind = 1
)

// owned is added to the kind of an entry that is written with its owners.
const owned = 2

// entry is what is kept under a key. owner holds the tags of those whose data it
// is about, "" if nobody said.
type entry struct {
	kind                       kind
	text, finish, model, owner string
}

// strings are what is written behind the kind.
func (e *entry) strings() []*string {
	all := []*string{&e.text, &e.finish, &e.model, &e.owner}
	if e.owner == "" {
		return all[:3]
	}
	return all
}

// record is an entry with its key.
type record struct {
	key key
	entry
}

// size is about what the record takes in memory and, before compression, in a part.
func (r record) size() int64 {
	return int64(len(r.text) + len(r.finish) + len(r.model) + len(r.owner) + 48)
}

// place is where a part holds an entry.
type place struct {
	prefix uint64
	block  uint16
	offset uint32
}

// header is what an index says of its part's bodies.
type header struct {
	sum  [sha256.Size]byte
	size int64
}

var errDamaged = errors.New("the bytes are not what was written")

var encoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(blockTarget), zstd.WithEncoderConcurrency(2))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderConcurrency(2))
	if err != nil {
		panic(err)
	}
	return d
})

// encodePart makes a part's bodies and says where the records stand in them.
func encodePart(records []record) (dat []byte, h header, places []place) {
	dat = []byte(datMagic)
	places = make([]place, 0, len(records))
	var block []byte
	number := 0
	flush := func() {
		if len(block) > 0 {
			dat = appendBlock(dat, block)
			block = block[:0]
			number++
		}
	}
	for _, r := range records {
		places = append(places, place{r.key.prefix(), uint16(number), uint32(len(block))})
		block = append(block, r.key[:]...)
		written := r.kind
		if r.owner != "" {
			written += owned
		}
		block = append(block, byte(written))
		for _, s := range r.strings() {
			block = binary.AppendUvarint(block, uint64(len(*s)))
			block = append(block, *s...)
		}
		if len(block) >= blockTarget {
			flush()
		}
	}
	flush()
	return dat, headerOf(dat), places
}

func headerOf(dat []byte) header { return header{sha256.Sum256(dat), int64(len(dat))} }

func appendBlock(dat, block []byte) []byte {
	at := len(dat)
	dat = append(dat, make([]byte, 8)...)
	dat = encoder().EncodeAll(block, dat)
	binary.BigEndian.PutUint32(dat[at:], uint32(len(block)))
	binary.BigEndian.PutUint32(dat[at+4:], uint32(len(dat)-at-8))
	return dat
}

// encodeIndex sorts the places and writes them behind the header; the SHA-256 of
// it all comes last.
func encodeIndex(h header, places []place) []byte {
	slices.SortFunc(places, comparePlaces)
	idx := make([]byte, 0, idxHead+len(places)*idxRecord+sha256.Size)
	idx = append(idx, idxMagic...)
	idx = append(idx, h.sum[:]...)
	idx = binary.BigEndian.AppendUint64(idx, uint64(h.size))
	idx = binary.BigEndian.AppendUint32(idx, uint32(len(places)))
	for _, p := range places {
		idx = binary.BigEndian.AppendUint64(idx, p.prefix)
		idx = binary.BigEndian.AppendUint16(idx, p.block)
		idx = binary.BigEndian.AppendUint32(idx, p.offset)
	}
	sum := sha256.Sum256(idx)
	return append(idx, sum[:]...)
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.prefix, b.prefix), cmp.Compare(a.block, b.block), cmp.Compare(a.offset, b.offset))
}

// decodeIndex reads an index, or returns errDamaged.
func decodeIndex(idx []byte) (h header, places []place, err error) {
	if len(idx) < idxHead+sha256.Size || !bytes.HasPrefix(idx, []byte(idxMagic)) {
		return h, nil, errDamaged
	}
	body, sum := idx[:len(idx)-sha256.Size], sha256.Sum256(idx[:len(idx)-sha256.Size])
	if !bytes.Equal(sum[:], idx[len(body):]) {
		return h, nil, errDamaged
	}
	body = body[len(idxMagic):]
	copy(h.sum[:], body)
	body = body[sha256.Size:]
	h.size = int64(binary.BigEndian.Uint64(body))
	count := int64(binary.BigEndian.Uint32(body[8:]))
	body = body[12:]
	if int64(len(body)) != count*idxRecord || h.size < 0 {
		return h, nil, errDamaged
	}
	places = make([]place, count)
	for i := range places {
		r := body[i*idxRecord:]
		places[i] = place{binary.BigEndian.Uint64(r), binary.BigEndian.Uint16(r[8:]), binary.BigEndian.Uint32(r[10:])}
		if places[i].offset >= blockTarget || i > 0 && comparePlaces(places[i-1], places[i]) >= 0 {
			return h, nil, errDamaged
		}
	}
	return h, places, nil
}

// body is the object with a part's blocks, as it lies in the store.
type body struct {
	dat []byte
	// blocks are the offsets of the blocks' headers.
	blocks []int
}

// openBody finds the blocks of a part's bodies after comparing them with what
// its index says.
func openBody(dat []byte, h header) (*body, error) {
	if int64(len(dat)) != h.size || sha256.Sum256(dat) != h.sum || !bytes.HasPrefix(dat, []byte(datMagic)) {
		return nil, errDamaged
	}
	b := &body{dat: dat}
	for at := len(datMagic); at < len(dat); {
		if len(dat)-at < 8 || len(b.blocks) == maxBlocks {
			return nil, errDamaged
		}
		length := int64(binary.BigEndian.Uint32(dat[at+4:]))
		if length > int64(len(dat)-at-8) {
			return nil, errDamaged
		}
		b.blocks = append(b.blocks, at)
		at += 8 + int(length)
	}
	return b, nil
}

// decode returns a block's entries, one behind the other.
func (b *body) decode(block uint16) ([]byte, error) {
	if int(block) >= len(b.blocks) {
		return nil, errDamaged
	}
	at := b.blocks[block]
	size, length := binary.BigEndian.Uint32(b.dat[at:]), int(binary.BigEndian.Uint32(b.dat[at+4:]))
	if size > maxBlock {
		return nil, errDamaged
	}
	out, err := decoder().DecodeAll(b.dat[at+8:at+8+length], make([]byte, 0, size))
	if err != nil || len(out) != int(size) {
		return nil, errDamaged
	}
	return out, nil
}

// entryAt reads the entry of a decoded block at an offset. The texts are copies,
// so that keeping one does not keep the block.
func entryAt(block []byte, offset uint32) (record, error) {
	if int64(offset) > int64(len(block)) {
		return record{}, errDamaged
	}
	r, _, err := nextEntry(block[offset:])
	return r, err
}

// nextEntry reads the first entry and returns what follows it.
func nextEntry(rest []byte) (r record, after []byte, err error) {
	if len(rest) < len(r.key)+1 {
		return r, nil, errDamaged
	}
	copy(r.key[:], rest)
	r.kind, rest = kind(rest[len(r.key)]), rest[len(r.key)+1:]
	all := []*string{&r.text, &r.finish, &r.model}
	if r.kind >= owned {
		r.kind, all = r.kind-owned, append(all, &r.owner)
	}
	if r.kind != choice && r.kind != refusal {
		return r, nil, errDamaged
	}
	for _, s := range all {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return r, nil, errDamaged
		}
		*s, rest = string(rest[n:n+int(length)]), rest[n+int(length):]
	}
	return r, rest, nil
}
