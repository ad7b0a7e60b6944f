package schemas

import (
	"sync"

	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// sharedZstd replaces arrow's codec, which makes an encoder with tables of several
// megabytes for every page. It gives the same bytes.
type sharedZstd struct{ compress.Codec }

func init() {
	compress.RegisterCodec(compress.Codecs.Zstd, sharedZstd{zstdCodec()})
}

// zstdCodec returns the codec that is registered.
func zstdCodec() compress.Codec {
	c, err := compress.GetCodec(compress.Codecs.Zstd)
	if err != nil {
		panic(err) // arrow registers its own on the way in
	}
	return c
}

// zstdEncoder serves any number of goroutines.
var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithZeroFrames(true), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(zstdLevel)))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

// EncodeLevel implements compress.Codec; a level that Encode does not use is
// arrow's own to encode.
func (c sharedZstd) EncodeLevel(dst, src []byte, level int) []byte {
	if level != zstdLevel {
		return c.Codec.EncodeLevel(dst, src, level)
	}
	return zstdEncoder().EncodeAll(src, dst[:0])
}
