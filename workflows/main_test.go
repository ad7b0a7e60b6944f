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
	onlyReplay  = flag.String("only", "", "with -record: those whose names begin so, for workflows that are new in this release")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *writeReplay {
		if err := record(*onlyReplay); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
