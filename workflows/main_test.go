package workflows

import (
	"flag"
	"os"
	"testing"
)

var writeGolden = flag.Bool("golden", false, "write the golden files of this package anew")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
