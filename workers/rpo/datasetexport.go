package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"rpo/activities/report"
	"rpo/activities/store"
	"rpo/schemas"
)

// Formats of an export.
const (
	formatParquet = "parquet"
	formatJSONL   = "jsonl"
)

// exportDataset writes a version as a folder that the Hugging Face libraries load.
func exportDataset(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dataset export", flag.ContinueOnError)
	number := flags.Int("version", 0, "number of the version (default: the newest)")
	format := flags.String("format", formatParquet, "parquet or jsonl")
	dir := flags.String("to", "", "folder to write, which must be empty or not exist; required")
	rest, err := parseFlags(flags, args, "NAME")
	if err != nil {
		return err
	}
	switch {
	case *dir == "":
		return schemas.Errorf(usageError, "flag --to is required: the folder to write")
	case *format != formatParquet && *format != formatJSONL:
		return schemas.Errorf(usageError, "flag --format: %q is not %s or %s", *format, formatParquet, formatJSONL)
	}
	if err := emptyFolder(*dir); err != nil {
		return err
	}
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	v, err := versionOf(ctx, s, rest[0], *number)
	if err != nil {
		return err
	}
	superseded, err := store.Superseded(ctx, s, v.Dataset)
	if err != nil {
		return err
	}
	if by := superseded[v.Number]; by > 0 {
		return schemas.Errorf(schemas.InvalidInput, "export: rows of version %d of data set %s were forgotten: version %d holds the rest", v.Number, v.Dataset, by)
	}
	files, err := writeVersion(ctx, s, v, *format, *dir)
	if err != nil {
		return err
	}
	rows := int64(0)
	for _, f := range files {
		rows += f.Rows
	}
	fmt.Fprintf(os.Stderr, "wrote version %d of data set %s, %d rows in %d files, to %s\n", v.Number, v.Dataset, rows, len(files), *dir)
	return nil
}

// emptyFolder refuses a folder that holds something: an export replaces nothing.
func emptyFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return schemas.Errorf(schemas.InvalidInput, "export: %w", err)
	case len(entries) > 0:
		return schemas.Errorf(schemas.InvalidInput, "export: folder %s is not empty: name another one", dir)
	}
	return nil
}

// writeVersion writes the objects as files and, when all are there, the card: a
// folder with a card is whole.
func writeVersion(ctx context.Context, s store.Store, v schemas.DatasetVersion, format, dir string) ([]report.CardFile, error) {
	if len(v.Objects) == 0 {
		return nil, schemas.Errorf(schemas.InvalidInput, "export: version %d of data set %s holds no rows", v.Number, v.Dataset)
	}
	var files []report.CardFile
	for i, o := range v.Objects {
		f := report.CardFile{Path: fmt.Sprintf("data/train-%05d-of-%05d.%s", i, len(v.Objects), format), Rows: o.Rows, Bytes: o.Bytes}
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		var err error
		if format == formatParquet {
			err = s.GetFile(ctx, o, path)
		} else {
			f.Bytes, err = writeLines(ctx, s, store.TableOf(v), o, path)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	card, err := report.VersionCard(ctx, s, v, files)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), card, 0o644); err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "export: %w", err)
	}
	return files, nil
}

// writeLines writes an object's rows as JSON lines and returns the file's size.
func writeLines(ctx context.Context, s store.Store, table string, o schemas.Object, path string) (int64, error) {
	switch table {
	case schemas.TablePair, schemas.TableDPO:
		return linesOf[schemas.Pair](ctx, s, o, path)
	case schemas.TableKTO:
		return linesOf[schemas.Desirability](ctx, s, o, path)
	case schemas.TableSFT:
		return linesOf[schemas.Demonstration](ctx, s, o, path)
	}
	return 0, schemas.Errorf(schemas.InvalidInput, "export: objects of table %q are of no data set", table)
}

func linesOf[T any](ctx context.Context, s store.Store, o schemas.Object, path string) (size int64, err error) {
	rows, err := store.GetRows[T](ctx, s, o)
	if err != nil {
		return 0, err
	}
	fail := func(err error) (int64, error) { return 0, schemas.Errorf(schemas.InvalidInput, "export: %w", err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for _, r := range rows {
		line, err := schemas.RowJSON(r)
		if err != nil {
			return 0, err
		}
		n, err := w.Write(append(line, '\n'))
		if size += int64(n); err != nil {
			return fail(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fail(err)
	}
	return size, nil
}

// versionNumber reads "2" or "v000002".
func versionNumber(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "v"))
	if err != nil || n < 1 {
		return 0, schemas.Errorf(usageError, "version %q is not a number from 1 on", text)
	}
	return n, nil
}
