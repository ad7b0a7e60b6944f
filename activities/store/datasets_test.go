package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"rpo/activities/store"
	"rpo/schemas"
)

func TestDataSetsAreListedByTheirVersionsWhateverLiesBesideThem(t *testing.T) {
	s := store.NewMemory("rpo")
	want := []string{"a", "a-b", "a.b", "a0", "a_b", "b"}
	for i, name := range want {
		for n := range i + 1 {
			v := schemas.DatasetVersion{Dataset: name, Objects: []schemas.Object{{Key: "data/pair/x.parquet", SHA256: fmt.Sprint(n)}}}
			if _, err := store.PublishVersion(t.Context(), s, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, key := range []string{"datasets/a/v000001/README.md", "datasets/a/v000001/data/train-00000-of-00001.parquet", "datasets/none/pins/v000001.json", "datasets/zz/v1.json"} {
		if err := s.Put(t.Context(), key, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	got, err := store.Datasets(t.Context(), s)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("data sets %v, %v, want %v", got, err, want)
	}
	if numbers, err := store.Versions(t.Context(), s, "a_b"); err != nil || !slices.Equal(numbers, []int{1, 2, 3, 4, 5}) {
		t.Errorf("versions %v, %v", numbers, err)
	}
}

func TestAPinNamesAVersionThatExistsAndIsGoneWhenItIsTakenOff(t *testing.T) {
	s := store.NewMemory("rpo")
	v, err := store.PublishVersion(t.Context(), s, schemas.DatasetVersion{Dataset: "d", Objects: []schemas.Object{{Key: "data/kto/x.parquet", SHA256: "00"}}})
	if err != nil || store.TableOf(v) != schemas.TableKTO {
		t.Fatalf("table %q, %v", store.TableOf(v), err)
	}
	if err := store.Pin(t.Context(), s, "d", 2, "x"); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("a version that does not exist: %v", err)
	}
	for _, reason := range []string{"first", "the paper's run"} {
		if err := store.Pin(t.Context(), s, "d", 1, reason); err != nil {
			t.Fatal(err)
		}
	}
	if pins, err := store.Pins(t.Context(), s, "d"); err != nil || !maps.Equal(pins, map[int]string{1: "the paper's run"}) {
		t.Errorf("pins %v, %v", pins, err)
	}
	for range 2 {
		if err := store.Unpin(t.Context(), s, "d", 1); err != nil {
			t.Fatal(err)
		}
	}
	if pins, err := store.Pins(t.Context(), s, "d"); err != nil || len(pins) != 0 {
		t.Errorf("pins %v, %v", pins, err)
	}
	if latest, ok, err := store.LatestVersion(t.Context(), s, "d"); err != nil || !ok || latest.Number != 1 {
		t.Errorf("the version is %+v, %v, %v", latest, ok, err)
	}
}

func TestAVersionIsPublishedAfterItsParentOnly(t *testing.T) {
	s := store.NewMemory("rpo")
	version := func(sum string) schemas.DatasetVersion {
		return schemas.DatasetVersion{Dataset: "d", Objects: []schemas.Object{{Key: "data/pair/x.parquet", SHA256: sum}}}
	}
	for _, c := range []struct {
		sum            string
		parent, number int
		published      bool
	}{
		{"a", 1, 0, false}, {"a", 0, 1, true}, {"a", 0, 1, true}, {"b", 0, 0, false}, {"b", 1, 2, true}, {"a", 2, 3, true},
	} {
		v, ok, err := store.PublishAfter(t.Context(), s, version(c.sum), c.parent)
		if err != nil || ok != c.published || v.Number != c.number {
			t.Errorf("%q after %d: version %d, published %v, %v", c.sum, c.parent, v.Number, ok, err)
		}
	}
}
