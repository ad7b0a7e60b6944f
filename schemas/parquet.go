package schemas

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

const (
	// rowGroupRows bounds the writer's memory, which is one compressed row group.
	rowGroupRows = 20_000
	// batchRows bounds the Arrow memory of one batch on both ways.
	batchRows = 2_000
	// zstdLevel costs seconds per 100,000 conversations, nothing beside making them.
	zstdLevel = 3
)

// Encode writes rows as one Parquet file: zstd, no statistics (they would put
// prompt text into the footer), dictionaries for fields tagged ",dict". Equal
// rows give equal bytes, so an object may be named by the hash of them. An empty
// list comes back as nil; text that is not UTF-8 is InvalidInput.
//
// It encodes to memory and reads the file back before it returns, because
// arrow v17 reports some failed writes as success; a sink that can fail must
// never stand behind the Parquet writer.
func Encode[T any](rows []T) ([]byte, error) {
	return encode(memory.DefaultAllocator, rows)
}

func encode[T any](mem memory.Allocator, rows []T) ([]byte, error) {
	schema, dictionaries := SchemaOf[T]()
	options := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithCompressionLevel(zstdLevel),
		parquet.WithDictionaryDefault(false),
		parquet.WithStats(false),
		parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithAllocator(mem),
	}
	for _, path := range dictionaries {
		options = append(options, parquet.WithDictionaryFor(path, true))
	}
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(options...),
		pqarrow.NewArrowWriterProperties(pqarrow.WithAllocator(mem)))
	if err != nil {
		return nil, Errorf(Internal, "encode %s: %w", name[T](), err)
	}
	if err := writeBatches(mem, w, schema, rows); err != nil {
		w.Close() // gives the writer's buffers back; the file is dropped
		return nil, Errorf(TypeOf(err), "encode %s: %w", name[T](), err)
	}
	if err := w.Close(); err != nil {
		return nil, Errorf(Internal, "encode %s: close: %w", name[T](), err)
	}
	got, err := countRows(out.Bytes(), schema)
	if err != nil {
		return nil, Errorf(Internal, "encode %s: read back: %w", name[T](), err)
	}
	if got != int64(len(rows)) {
		return nil, Errorf(Internal, "encode %s: wrote %d rows, read back %d", name[T](), len(rows), got)
	}
	return out.Bytes(), nil
}

func writeBatches[T any](mem memory.Allocator, w *pqarrow.FileWriter, schema *arrow.Schema, rows []T) error {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for start := 0; start < len(rows); start += batchRows {
		for n, row := range rows[start:min(start+batchRows, len(rows))] {
			v := reflect.ValueOf(row)
			for i, f := range columns(v.Type()) {
				if err := appendValue(b.Field(i), v.FieldByIndex(f.Index)); err != nil {
					return Errorf(InvalidInput, "row %d: column %q: %w", start+n, f.name, err)
				}
			}
		}
		rec := b.NewRecord()
		err := w.WriteBuffered(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func countRows(data []byte, schema *arrow.Schema) (int64, error) {
	pf, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	defer pf.Close()
	fr, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return 0, err
	}
	got, err := fr.Schema()
	if err != nil {
		return 0, err
	}
	if err := compatible(schema, got); err != nil {
		return 0, err
	}
	return pf.NumRows(), nil
}

// compatible demands that every column we know is there with its type. Columns
// that a later version added are allowed.
func compatible(want, got *arrow.Schema) error {
	for _, f := range want.Fields() {
		found, ok := got.FieldsByName(f.Name)
		if !ok {
			return fmt.Errorf("column %q is missing", f.Name)
		}
		if !arrow.TypeEqual(f.Type, found[0].Type) {
			return fmt.Errorf("column %q is %s, want %s", f.Name, found[0].Type, f.Type)
		}
	}
	return nil
}

// Decode reads a Parquet file that this system wrote. The caller has compared
// its sha256 with the record that names it: a damaged file can end the process,
// since arrow v17 panics in goroutines of its own.
func Decode[T any](data []byte) ([]T, error) {
	return decode[T](memory.DefaultAllocator, data)
}

func decode[T any](mem memory.Allocator, data []byte) ([]T, error) {
	fail := func(err error) ([]T, error) { return nil, Errorf(CorruptData, "decode %s: %w", name[T](), err) }
	pf, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		return fail(err)
	}
	defer pf.Close()
	fr, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: batchRows}, mem)
	if err != nil {
		return fail(err)
	}
	got, err := fr.Schema()
	if err != nil {
		return fail(err)
	}
	want, _ := SchemaOf[T]()
	if err := compatible(want, got); err != nil {
		return fail(err)
	}
	rr, err := fr.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		return fail(err)
	}
	defer rr.Release()
	rows := make([]T, 0, pf.NumRows())
	for rr.Next() {
		if rows, err = appendRecord(rows, rr.Record()); err != nil {
			return fail(err)
		}
	}
	// v17 reports the normal end as io.EOF.
	if err := rr.Err(); err != nil && err != io.EOF {
		return fail(err)
	}
	if int64(len(rows)) != pf.NumRows() {
		return fail(fmt.Errorf("footer says %d rows, read %d", pf.NumRows(), len(rows)))
	}
	return rows, nil
}

func appendRecord[T any](rows []T, rec arrow.Record) ([]T, error) {
	fields := columns(reflect.TypeFor[T]())
	at := make([]arrow.Array, len(fields))
	for i, f := range fields {
		at[i] = rec.Column(rec.Schema().FieldIndices(f.name)[0])
	}
	for r := range int(rec.NumRows()) {
		var row T
		v := reflect.ValueOf(&row).Elem()
		for i, f := range fields {
			if err := readValue(at[i], r, v.FieldByIndex(f.Index)); err != nil {
				return nil, fmt.Errorf("row %d: %s: %w", len(rows), f.name, err)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func name[T any]() string { return reflect.TypeFor[T]().Name() + " table" }
