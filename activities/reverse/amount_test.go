package reverse

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// saying is a way to demand a number of examples, and which numbers meet it.
type saying struct {
	text string
	met  func(k, n int) bool
}

var sayings = []saying{
	{"Use at least %d examples.", func(k, n int) bool { return k >= n }},
	{"Use %d or more examples.", func(k, n int) bool { return k >= n }},
	{"Use no fewer than %d examples.", func(k, n int) bool { return k >= n }},
	{"Do not use fewer than %d examples.", func(k, n int) bool { return k >= n }},
	{"Use fewer than %d examples.", func(k, n int) bool { return k < n }},
	{"Don’t use %d or more examples.", func(k, n int) bool { return k < n }},
	{"You must never use at least %d examples.", func(k, n int) bool { return k < n }},
	{"Use at most %d examples.", func(k, n int) bool { return k <= n }},
	{"Use no more than %d examples.", func(k, n int) bool { return k <= n }},
	{"Use up to %d examples.", func(k, n int) bool { return k <= n }},
	{"Use %d examples or fewer.", func(k, n int) bool { return k <= n }},
	{"The number of examples must not exceed %d.", func(k, n int) bool { return k <= n }},
	{"Use more than %d examples.", func(k, n int) bool { return k > n }},
	{"The number of examples must exceed %d.", func(k, n int) bool { return k > n }},
	{"Never use at most %d examples.", func(k, n int) bool { return k > n }},
	{"Use exactly %d examples.", func(k, n int) bool { return k == n }},
	{"Do not use exactly %d examples.", func(k, n int) bool { return k != n }},
	{"Use any number of examples other than %d.", func(k, n int) bool { return k != n }},
	{"Use fewer than %d or more than %[1]d examples.", func(k, n int) bool { return k != n }},
	{"Use a number of examples different from %d.", func(k, n int) bool { return k != n }},
	{"至少使用%d个例子。", func(k, n int) bool { return k >= n }},
	{"使用不少于%d个例子。", func(k, n int) bool { return k >= n }},
	{"使用%d个以上的例子。", func(k, n int) bool { return k >= n }},
	{"使用少于%d个例子。", func(k, n int) bool { return k < n }},
	{"不得使用%d个或更多例子。", func(k, n int) bool { return k < n }},
	{"最多使用%d个例子。", func(k, n int) bool { return k <= n }},
	{"例子不得超过%d个。", func(k, n int) bool { return k <= n }},
	{"例子控制在%d个以内。", func(k, n int) bool { return k <= n }},
	{"使用多于%d个例子。", func(k, n int) bool { return k > n }},
	{"例子的数量超过%d个。", func(k, n int) bool { return k > n }},
	{"恰好使用%d个例子。", func(k, n int) bool { return k == n }},
	{"使用%d个以外的任意数量的例子。", func(k, n int) bool { return k != n }},
	{"不得恰好使用%d个例子。", func(k, n int) bool { return k != n }},
}

// reworded are sayings whose words say more than the number: as restatements of
// others they are left to the check.
var reworded = map[string]bool{
	"Use any number of examples other than %d.":   true,
	"Use a number of examples different from %d.": true,
	"使用%d个以外的任意数量的例子。":                            true,
}

func TestNumbersAreRefusedUnlessTheyMayBeTheComplement(t *testing.T) {
	refused, passed := 0, 0
	for _, a := range sayings {
		for _, b := range sayings {
			if translated(a.text, b.text) {
				continue
			}
			for n := 3; n <= 4; n++ {
				for m := n - 1; m <= n+1; m++ {
					original, opposite := fmt.Sprintf(a.text, n), fmt.Sprintf(b.text, m)
					exact := true
					for k := range 12 {
						exact = exact && a.met(k, n) != b.met(k, m)
					}
					same := true
					for k := range 12 {
						same = same && a.met(k, n) == b.met(k, m)
					}
					objection := miscounted(original, opposite)
					switch {
					case exact && objection != "":
						t.Errorf("%q is the opposite of %q, and is refused: %s", opposite, original, objection)
					case !exact && objection == "" && !(same && (reworded[a.text] || reworded[b.text])):
						t.Errorf("%q passes for the opposite of %q", opposite, original)
					case objection != "":
						refused++
					default:
						passed++
					}
				}
			}
		}
	}
	if refused < 5*passed || passed < 100 {
		t.Errorf("%d refused, %d passed", refused, passed)
	}
}

func TestWhatCannotBeToldIsLeftToTheCheck(t *testing.T) {
	for _, c := range [][2]string{
		{"Mention Venus.", "Do not mention Venus."},
		{"Use at least one emoji.", "Do not use any emoji."},
		{"Use at least two examples.", "Use a single example or none."},
		{"Write three paragraphs.", "Write any number of paragraphs but three."},
		{"Use at least 50% of the words.", "Use less than 50% of the words."},
		{"Write 3 paragraphs with at least 2 sentences each.", "Do not write 3 paragraphs with at least 2 sentences each."},
		{"Use at least 3 sentences and at most 50 words.", "Use fewer than 3 sentences or more than 50 words."},
		{"Use at least 3 sentences.", "Use fewer than 50 words."},
		{"Use at least twenty-five words.", "Use fewer than twenty-five words."},
		{"Use at least 99999999999999999999 words.", "Use fewer than 3 words."},
		{"第一句话必须是问候语。", "第一句话不得是问候语。"},
		{"字数不少于全文的一半。", "字数少于全文的一半。"},
	} {
		if objection := miscounted(c[0], c[1]); objection != "" {
			t.Errorf("%q and %q: %s", c[0], c[1], objection)
		}
	}
}

func TestNumeralsInWordsAndRangesAreRead(t *testing.T) {
	for _, c := range []struct {
		original, opposite string
		refused            bool
	}{
		{"Use at least three examples.", "Use fewer than three examples.", false},
		{"Use at least three examples.", "Use at most two examples.", false},
		{"Use at least three examples.", "Use at most three examples.", true},
		{"Use at least three examples.", "Use fewer examples.", true},
		{"Mention Venus at least once.", "Mention Venus at most once.", true},
		{"Mention Venus more than twice.", "Mention Venus at most twice.", false},
		{"Answer within 100 words.", "Answer in more than 100 words.", false},
		{"Answer within 100 words.", "Answer in at least 100 words.", true},
		{"Answer within 1,000 words.", "Answer in more than 1000 words.", false},
		{"Answer in at most a hundred words.", "Answer in more than 100 words.", false},
		{"Use between 3 and 5 examples.", "Use fewer than 3 or more than 5 examples.", false},
		{"Use between 3 and 5 examples.", "Use fewer than 3 or at least 5 examples.", true},
		{"Use between 3 and 5 examples.", "Use more than 5 examples.", true},
		{"Use at least 3 and at most 5 examples.", "Use 2 or fewer examples, or more than 5.", false},
		{"至少使用三个例子。", "使用少于三个例子。", false},
		{"至少使用三个例子。", "最多使用三个例子。", true},
		{"至少使用十五个例子。", "最多使用14个例子。", false},
		{"至少使用十五个例子。", "最多使用十五个例子。", true},
		{"回答控制在一百二十字以内。", "回答多于120字。", false},
		{"使用3到5个例子。", "使用少于3个或多于5个例子。", false},
		{"使用3到5个例子。", "使用多于5个例子。", true},
		{"至少使用三个例子。", "使用较少的例子。", true},
	} {
		if objection := miscounted(c.original, c.opposite); (objection != "") != c.refused {
			t.Errorf("%q and %q: %q", c.original, c.opposite, objection)
		}
	}
}

func TestSetsOfCountsObeyTheirLaws(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	set := func() (c counts) {
		for range random.IntN(4) {
			low := random.IntN(12)
			high := low + random.IntN(4)
			if random.IntN(5) == 0 {
				high = endless
			}
			c = union(c, counts{{low, high}})
		}
		return c
	}
	has := func(c counts, k int) bool {
		for _, s := range c {
			if s.low <= k && k <= s.high {
				return true
			}
		}
		return false
	}
	for range 5000 {
		a, b := set(), set()
		if !a.complement().complement().equal(a) {
			t.Fatalf("%v: the complement of %v is %v", a, a.complement(), a.complement().complement())
		}
		for k := range 20 {
			if has(a.complement(), k) == has(a, k) || has(union(a, b), k) != (has(a, k) || has(b, k)) || has(intersection(a, b), k) != (has(a, k) && has(b, k)) {
				t.Fatalf("%d in %v and %v", k, a, b)
			}
		}
	}
}

func FuzzRepliesAndNumbersAreReadWithoutHarm(f *testing.F) {
	for _, s := range []string{
		`{"opposite": "Be unkind."}`, `{"opposite": null}`, `{"reason": "r", "exclusive": false, "exhaustive": true, "definite": true}`,
		"{}", "null", "", "Use at least three examples.", "至少使用一百零五个例子。", "between 5 and 3", "1-2-3 or 4", "除除3个以外", "900除0个以外", "\xff or \x00 3",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if text, err := parseOpposite(a, b); err == nil && (strings.TrimSpace(text) == "" || len(text) > 10*len(b)+200) {
			t.Errorf("opposite %q", text)
		}
		if objection, err := parseCheck(a); err == nil && len(objection) > maxReason+200 {
			t.Errorf("objection of %d bytes", len(objection))
		}
		if x := readAmount(a); x.clear && (len(x.counts) == 0 || !x.counts.complement().complement().equal(x.counts)) {
			t.Errorf("%q: counts %v", a, x.counts)
		}
		r := reversal{demand: demand{a, b}, text: b}
		r.objection()
	})
}
