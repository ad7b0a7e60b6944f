package schemas

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// nested has what the tables do not have today, so that a table may have it
// tomorrow.
type nested struct {
	ID      string    `parquet:"id"`
	Grid    [][]int64 `parquet:"grid"`
	Maybe   *leaf     `parquet:"maybe"`
	Leaves  []leaf    `parquet:"leaves"`
	Strings []*string `parquet:"strings"`
	Flags   []bool    `parquet:"flags"`
	Ratio   *float64  `parquet:"ratio"`
	Count   *int64    `parquet:"count"`
}

type leaf struct {
	Label string   `parquet:"label,dict"`
	Note  *string  `parquet:"note"`
	Tags  []string `parquet:"tags,dict"`
	Inner Rule     `parquet:"inner"`
}

func TestEveryTableComesBackAsItWasWritten(t *testing.T) {
	checkTable[Profile](t)
	checkTable[Turn](t)
	checkTable[Response](t)
	checkTable[Verdict](t)
	checkTable[Opposite](t)
	checkTable[Pair](t)
	checkTable[Reference](t)
	checkTable[Evaluation](t)
	checkTable[Quarantined](t)
	checkTable[nested](t)
}

func checkTable[T any](t *testing.T) {
	t.Run(reflect.TypeFor[T]().Name(), func(t *testing.T) {
		for _, n := range []int{0, 1, 7, 300} {
			for seed := range uint64(2) {
				roundTrip(t, randomRows[T](rand.New(rand.NewPCG(seed, uint64(n))), n))
			}
		}
	})
}

// roundTrip writes rows twice and reads them once, on allocators that count.
func roundTrip[T any](t *testing.T, rows []T) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	data, err := encode(mem, rows)
	if err != nil {
		t.Fatal(err)
	}
	again, err := encode(mem, rows)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Fatalf("%d rows: equal rows gave different bytes", len(rows))
	}
	got, err := decode[T](mem, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) {
		t.Fatalf("wrote %d rows, read %d", len(rows), len(got))
	}
	for i := range rows {
		want := rows[i]
		emptyToNil(reflect.ValueOf(&want).Elem())
		if !reflect.DeepEqual(got[i], want) {
			t.Fatalf("row %d of %d:\n got %+v\nwant %+v", i, len(rows), got[i], want)
		}
	}
}

func TestRowsAndListsCrossTheBordersOfBatchesPagesAndRowGroups(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{batchRows - 1, batchRows, batchRows + 1, rowGroupRows - 1, rowGroupRows, rowGroupRows + 1, 2*rowGroupRows + 3} {
		rows := make([]Verdict, n)
		for i := range rows {
			rows[i] = Verdict{VerdictID: fmt.Sprint(i), ConstraintID: fmt.Sprint(i % 100), Outcome: Followed}
			if i%3 == 0 {
				reason := fmt.Sprint("reason ", i)
				rows[i].Reason = &reason
			}
		}
		roundTrip(t, rows)
	}
	// Pages are about 1 MB: single values beyond that, and lists that span many.
	long := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			fmt.Fprintf(&b, "%x ", random.Uint64())
		}
		return b.String()
	}
	var pairs []Pair
	for i := range 60 {
		p := Pair{PairID: fmt.Sprint(i), Chosen: []Message{{"assistant", long(1 << (i % 22))}}}
		for range i % 9 {
			p.Prompt = append(p.Prompt, Message{"user", long(200_000)})
		}
		pairs = append(pairs, p)
	}
	roundTrip(t, pairs)
	turns := make([]Turn, 2*batchRows+1)
	for i := range turns {
		turns[i].TurnID = fmt.Sprint(i)
		for j := range random.IntN(40) {
			turns[i].History = append(turns[i].History, Message{"user", fmt.Sprint(i, ".", j)})
			turns[i].Triggered = append(turns[i].Triggered, fmt.Sprint(j))
		}
	}
	roundTrip(t, turns)
}

func TestNumbersComeBackBitForBit(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64, math.MaxFloat64, 0.1}
	var rows []Reference
	for _, v := range values {
		for _, n := range []int64{math.MinInt64, -1, 0, math.MaxInt64} {
			rows = append(rows, Reference{LogProb: &v, Tokens: n})
		}
	}
	data, err := Encode(rows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode[Reference](data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if math.Float64bits(*got[i].LogProb) != math.Float64bits(*rows[i].LogProb) || got[i].Tokens != rows[i].Tokens {
			t.Fatalf("got %v %v, want %v %v", *got[i].LogProb, got[i].Tokens, *rows[i].LogProb, rows[i].Tokens)
		}
	}
}

func TestDecodeRefusesAFileOfAnotherTableAndNamesTheColumn(t *testing.T) {
	type before struct {
		ID   string `parquet:"id"`
		Role string `parquet:"role"`
	}
	type missing struct {
		ID string `parquet:"id"`
	}
	type retyped struct {
		ID   string `parquet:"id"`
		Role int64  `parquet:"role"`
	}
	type inList struct {
		ID   string   `parquet:"id"`
		Role []string `parquet:"role"`
	}
	for name, encoded := range map[string]func() ([]byte, error){
		`column "role" is missing`:          func() ([]byte, error) { return Encode([]missing{{"a"}}) },
		`column "role" is int64, want utf8`: func() ([]byte, error) { return Encode([]retyped{{"a", 1}}) },
		`column "role" is list<`:            func() ([]byte, error) { return Encode([]inList{{"a", nil}}) },
		"":                                  func() ([]byte, error) { return []byte("{}"), nil },
	} {
		data, err := encoded()
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode[before](data)
		if TypeOf(err) != CorruptData || !strings.Contains(err.Error(), name) {
			t.Fatalf("got %v, want CorruptData with %q", err, name)
		}
	}
}

func TestDecodeReadsWhatALaterVersionWrote(t *testing.T) {
	type before struct {
		ID    string `parquet:"id"`
		Count int64  `parquet:"count"`
	}
	type after struct {
		New   []string `parquet:"new"`
		Count int64    `parquet:"count"`
		ID    string   `parquet:"id"`
	}
	data, err := Encode([]after{{[]string{"x"}, 1, "a"}, {nil, 2, "b"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode[before](data)
	if err != nil {
		t.Fatal(err)
	}
	if want := []before{{"a", 1}, {"b", 2}}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestEncodeRefusesTextThatNoOtherReaderTakes(t *testing.T) {
	rows := []Pair{{PairID: "a"}, {PairID: "b", Prompt: []Message{{"user", "ok"}, {"user", "caf\xe9"}}}}
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	_, err := encode(mem, rows)
	if TypeOf(err) != InvalidInput {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"row 1", `column "prompt": column "content"`, "UTF-8"} {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("message %q does not hold %q", err, part)
		}
	}
}

func TestPromptTextStaysOutOfTheFooter(t *testing.T) {
	data, err := Encode([]Response{{Text: "a very private sentence"}})
	if err != nil {
		t.Fatal(err)
	}
	// zstd leaves so short a text readable in the page, once.
	if n := bytes.Count(data, []byte("private sentence")); n > 1 {
		t.Fatalf("the text stands in the file %d times", n)
	}
}

// randomRows fills n rows with edge cases: nulls, empty and nil lists, empty
// and odd strings, extreme numbers.
func randomRows[T any](random *rand.Rand, n int) []T {
	rows := make([]T, n)
	for i := range rows {
		fill(random, reflect.ValueOf(&rows[i]).Elem())
	}
	return rows
}

var texts = []string{"", " ", "a", "plain", "línea\nnueva\ttab", "日本語 😀", "\x00", "e\u0301", "\u202eright to left", strings.Repeat("long ", 500)}

func fill(random *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[random.IntN(len(texts))])
		if random.IntN(2) == 0 {
			v.SetString(fmt.Sprintf("%x", random.Uint64()))
		}
	case reflect.Int64:
		v.SetInt([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, random.Int64()}[random.IntN(6)])
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, -0.5, math.MaxFloat64, math.Inf(-1), random.NormFloat64()}[random.IntN(6)])
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Pointer:
		if random.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(random, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(random, v.Field(i))
		}
	case reflect.Slice:
		n := []int{0, 0, 1, 2, 5, 17}[random.IntN(6)]
		if n > 0 || random.IntN(2) == 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range n {
			fill(random, v.Index(i))
		}
	default:
		panic(v.Type().String())
	}
}

// emptyToNil makes the one change that a round trip makes, on a copy.
func emptyToNil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			emptyToNil(v.Field(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			emptyToNil(v.Elem())
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			emptyToNil(v.Index(i))
		}
	}
}

// benchmarkPairs are about 20 MB of pairs as a run makes them.
func benchmarkPairs() (rows []Pair, size int64) {
	random := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields("the agent must answer in short plain sentences and mention Venus when the user asks about love or fewer than three planets")
	text := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(words[random.IntN(len(words))])
			b.WriteByte(' ')
		}
		size += int64(b.Len())
		return b.String()
	}
	for i := range 4_000 {
		rows = append(rows, Pair{
			PairID: ID("pair", fmt.Sprint(i)), TurnID: ID("turn", fmt.Sprint(i)), Margin: 3, Model: "tiny",
			Prompt:   []Message{{"system", text(1500)}, {"user", text(200)}},
			Chosen:   []Message{{"assistant", text(1500)}},
			Rejected: []Message{{"assistant", text(1500)}},
			Reversed: []Reversal{{ConstraintID: ID("c", fmt.Sprint(i)), Original: text(60), Opposite: text(60)}},
		})
	}
	return rows, size
}

func BenchmarkEncodePairs(b *testing.B) {
	rows, size := benchmarkPairs()
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Encode(rows); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePairs(b *testing.B) {
	rows, size := benchmarkPairs()
	data, err := Encode(rows)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportMetric(float64(len(data)), "file-bytes")
	for b.Loop() {
		if _, err := Decode[Pair](data); err != nil {
			b.Fatal(err)
		}
	}
}
