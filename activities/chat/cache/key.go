package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"sync"

	"rpo/activities/chat"
)

// keyVersion changes when the encoding of a request does.
const keyVersion = "rpo call 1"

// key names a choice or a refusal by the hash of what determines it.
type key [sha256.Size]byte

// prefix is what indexes know of a key.
func (k key) prefix() uint64 { return binary.BigEndian.Uint64(k[:]) }

// encoding are fields written so that different ones give different bytes: every
// string and every list goes with its length.
type encoding []byte

// encodings keeps buffers, since prompts are long.
var encodings = sync.Pool{New: func() any { return new(encoding) }}

func (e *encoding) number(n uint64) { *e = binary.BigEndian.AppendUint64(*e, n) }

func (e *encoding) float(f float64) { e.number(math.Float64bits(f + 0)) } // -0 + 0 is 0

func (e *encoding) text(s string) {
	e.number(uint64(len(s)))
	*e = append(*e, s...)
}

// key hashes the fields and begins anew.
func (e *encoding) key() key {
	k := sha256.Sum256(*e)
	*e = (*e)[:0]
	return k
}

// keysOf returns the keys of the request's choices 0 to n-1, and at [n] that of
// its refusal. The number of choices is not in a choice's key, since choice i
// depends on the seed and i alone; a refusal may be for the number.
func keysOf(u Use, req chat.Request, n int) []key {
	e := encodings.Get().(*encoding)
	defer encodings.Put(e)
	e.text(keyVersion)
	e.text(u.Identity)
	e.number(uint64(u.Generation))
	e.text(req.Model)
	e.number(uint64(len(req.Messages)))
	for _, m := range req.Messages {
		e.text(m.Role)
		e.text(m.Content)
	}
	topP, name := req.TopP, req.SchemaName
	if topP == 0 {
		topP = 1
	}
	if name == "" {
		name = "reply"
	}
	e.float(req.Temperature)
	e.float(topP)
	e.number(uint64(req.TopK))
	e.float(req.MinP)
	e.number(uint64(req.MaxTokens))
	e.number(uint64(req.Seed))
	e.number(uint64(len(req.Stop)))
	for _, s := range req.Stop {
		e.text(s)
	}
	e.number(uint64(len(req.Schema)))
	*e = append(*e, req.Schema...)
	e.text(name)
	request := e.key()

	keys := make([]key, n+1)
	for i := range n {
		e.text("choice")
		*e = append(*e, request[:]...)
		e.number(uint64(i))
		keys[i] = e.key()
	}
	e.text("refusal")
	*e = append(*e, request[:]...)
	e.text(u.Endpoint)
	e.number(uint64(n))
	keys[n] = e.key()
	return keys
}

// readableName bounds the part of a scope's name that people read.
const readableName = 48

// scopeName is the folder of a model's parts: its identity as far as it can
// stand in a key, and a hash of all of it.
func scopeName(identity string) string {
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, identity)
	sum := sha256.Sum256([]byte(identity))
	return strings.Trim(readable[:min(len(readable), readableName)], ".") + "-" + hex.EncodeToString(sum[:6])
}
