package main

import (
	"io"
	"os"
	"testing"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
)

func TestTheFoldersSuitAFileSystemWithoutExtendedAttributes(t *testing.T) {
	t.Chdir(t.TempDir()) // the backend changes the working directory
	o, err := parseArgs([]string{"--dir", "state"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	st, err := openState(o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	for _, dir := range []string{st.objects, st.objectMetadata} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sidecar, err := meta.NewSideCar(st.objectMetadata)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := posix.New(st.objects, sidecar, posix.PosixOpts{SideCarDir: st.objectMetadata})
	if err != nil {
		t.Fatal(err)
	}
	backend.Shutdown()
}
