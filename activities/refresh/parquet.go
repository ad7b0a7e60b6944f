package refresh

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"rpo/activities/profile"
	"rpo/schemas"
)

// ReadParquetCommand is the argument with which this program reads one Parquet
// file from standard input and writes its profiles as JSON lines: a process of its
// own, since a hostile file can end the one that reads it.
const ReadParquetCommand = "read-parquet"

const (
	// maxParquet bounds a file, maxLines what comes out of it, in bytes: a small file
	// may hold a million times its size.
	maxParquet = 512 << 20
	maxLines   = 1 << 30
	// childMemory bounds the child's address space, childTime its life.
	childMemory = 6 << 30
	childTime   = 5 * time.Minute
	// maxComplaint bounds what the child says about the file.
	maxComplaint = 4 << 10
)

func list(of schemas.Shape) schemas.Shape { return schemas.Shape{Kind: "list", Element: &of} }

var (
	text   = schemas.Shape{Kind: "text"}
	places = list(schemas.Shape{Kind: "integer"})

	// columns are those of profile.ReadPlain. A constraint or a query may be its text
	// alone; a rule may be JSON, and its arguments are.
	columns = map[string]schemas.Shape{
		"id": text, "split": text, "system": text,
		"constraints": list(schemas.Shape{Kind: "object", As: "text", Fields: map[string]schemas.Shape{
			"text": text, "family": text, "trigger": text,
			"rule": {Kind: "object", JSON: true, Fields: map[string]schemas.Shape{
				"profile": text, "kind": text, "args": {Kind: "text", JSON: true}, "negated": {Kind: "boolean"}}},
		}}),
		"queries": list(schemas.Shape{Kind: "object", As: "query", Fields: map[string]schemas.Shape{"query": text, "triggered": places}}),
		"dialogues": list(list(schemas.Shape{Kind: "object", Fields: map[string]schemas.Shape{
			"query": text, "answer": text, "triggered": places}})),
	}
	required = []string{"id", "system", "constraints"}
)

// ReadParquet is the child: it turns a file into lines. Its error is for people.
func ReadParquet(in io.Reader, out io.Writer) error {
	// A file whose header claims terabytes ends this process and no other.
	limit := syscall.Rlimit{Cur: childMemory, Max: childMemory}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return schemas.Errorf(schemas.Internal, "limit the memory: %w", err)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "read the file: %w", err)
	}
	w := bufio.NewWriter(out)
	if err := schemas.ForeignRows(data, columns, required, func(row []byte) error {
		_, err := w.Write(append(row, '\n'))
		return err
	}); err != nil {
		return err
	}
	return w.Flush()
}

// errTooMuch ends a child whose file holds more than is read.
var errTooMuch = errors.New("it holds more than 1 GiB of text: split it")

// parquetLines turns a foreign Parquet file into the lines of the plain format. An
// error of the file's is InvalidInput; one of this machine's is not.
func (a *Activities) parquetLines(ctx context.Context, data []byte) ([]byte, error) {
	command := a.ParquetReader
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, schemas.Errorf(schemas.Internal, "find this program: %w", err)
		}
		command = []string{self, ReadParquetCommand}
	}
	limited, cancel := context.WithTimeout(ctx, childTime)
	defer cancel()
	child := exec.CommandContext(limited, command[0], command[1:]...)
	// It needs nothing of the worker's environment, where keys are.
	child.Env = []string{"GOMEMLIMIT=2GiB", "GOMAXPROCS=2", "GOTRACEBACK=none"}
	child.Stdin = bytes.NewReader(data)
	out, complaint := &bounded{limit: maxLines}, &bounded{limit: maxComplaint, cut: true}
	child.Stdout, child.Stderr = out, complaint
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := child.Run()
	said, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
	var ended *exec.ExitError
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, schemas.Errorf(schemas.Overloaded, "read Parquet: %w", context.Cause(ctx))
	case out.full:
		return nil, schemas.Errorf(schemas.InvalidInput, "read Parquet: %w", errTooMuch)
	case limited.Err() != nil:
		return nil, schemas.Errorf(schemas.InvalidInput, "read Parquet: it took longer than %s", childTime)
	case !errors.As(err, &ended):
		return nil, schemas.Errorf(schemas.Internal, "start the reader of Parquet files: %w", err)
	case ended.ExitCode() == 1:
		return nil, schemas.Errorf(schemas.InvalidInput, "%s", cmp.Or(said, "read Parquet: it failed"))
	}
	return nil, schemas.Errorf(schemas.InvalidInput, "read Parquet: the file is damaged: it ended its reader (%s)", cmp.Or(said, err.Error()))
}

// bounded is a buffer that takes no more than its limit: the rest is an error, or
// left out.
type bounded struct {
	bytes.Buffer
	limit int
	cut   bool
	full  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.limit - b.Len(); n > room {
		if p, b.full = p[:room], true; !b.cut {
			b.Buffer.Write(p)
			return 0, errTooMuch
		}
	}
	b.Buffer.Write(p)
	return n, nil
}

// readRows takes the profiles of a Parquet object's lines; rows count from 1.
func (f *finder) readRows(ctx context.Context, data []byte, source string, o profile.Options) (profile.Imported, error) {
	if len(data) > maxParquet {
		return profile.Imported{}, schemas.Errorf(schemas.InvalidInput, "read Parquet: the file has %d bytes, more than %d: split it", len(data), maxParquet)
	}
	rows, err := f.parquet(ctx, data)
	if err != nil {
		return profile.Imported{}, err
	}
	in, err := profile.ReadPlain(bytes.NewReader(rows), source, o)
	if err != nil {
		// Each line is a row.
		err = schemas.Errorf(schemas.TypeOf(err), "%s", strings.Replace(err.Error(), "import line ", "row ", 1))
	}
	return in, err
}
