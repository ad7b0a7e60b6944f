package schemas

import (
	"strings"

	"github.com/google/uuid"
)

// Namespace is the root of every id that this system makes.
var Namespace = uuid.MustParse("6f1d3a52-7c1e-5f0e-9f43-2b5052504f00")

// ID is the UUIDv5 of what a row is made of: a retry makes the same id. kind
// keeps ids of different tables apart. The parts are length-free joined by
// U+0000, which no id and no number holds, so ("a","bc") and ("ab","c") differ;
// at most the last part may be free text.
func ID(kind string, parts ...string) string {
	return uuid.NewSHA1(Namespace, []byte(kind+"\x00"+strings.Join(parts, "\x00"))).String()
}
