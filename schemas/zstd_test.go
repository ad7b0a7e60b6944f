package schemas

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// payload is compressible to some degree, like a page of text.
func payload(random *rand.Rand, size int) []byte {
	words := make([][]byte, 200)
	for i := range words {
		words[i] = make([]byte, 2+random.IntN(9))
		for j := range words[i] {
			words[i][j] = byte('a' + random.IntN(26))
		}
	}
	var out []byte
	for len(out) < size {
		out = append(append(out, words[random.IntN(len(words))]...), ' ')
	}
	return out[:size]
}

// An object is named by the hash of its bytes: they must not depend on what the
// encoder was given before, or at the same time.
func TestASharedEncoderGivesTheBytesOfAFreshOne(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 9))
	codec := zstdCodec()
	var pages [][]byte
	for _, size := range []int{0, 1, 7, 100, 4096, 100_000, 131_072, 1 << 20, 3 << 20} {
		pages = append(pages, payload(random, size))
	}
	want := make([][]byte, len(pages))
	for i, page := range pages {
		fresh, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(zstdLevel)))
		if err != nil {
			t.Fatal(err)
		}
		want[i] = fresh.EncodeAll(page, nil)
	}
	var running sync.WaitGroup
	for worker := range 4 {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 60 {
				i := random.IntN(len(pages))
				got := codec.EncodeLevel(make([]byte, codec.CompressBound(int64(max(1, len(pages[i]))))), pages[i], zstdLevel)
				if !bytes.Equal(got, want[i]) {
					t.Errorf("a page of %d bytes has other bytes", len(pages[i]))
				}
				if back := codec.Decode(make([]byte, len(pages[i])), got); !bytes.Equal(back, pages[i]) {
					t.Errorf("a page of %d bytes does not come back", len(pages[i]))
				}
			}
		})
	}
	running.Wait()
	if _, ok := codec.(sharedZstd); !ok {
		t.Error("another codec is registered")
	}
}
