package workflows

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var (
	writeGolden = flag.Bool("golden", false, "write the golden files of this package anew")
	writeReplay = flag.Bool("record", false, "before the tests, record the histories of this release on a server started from bin/rpo-local")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *writeReplay {
		if err := record(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
