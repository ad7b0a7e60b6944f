package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"rpo/activities/pair"
	"rpo/activities/store"
	"rpo/schemas"
)

// published makes version 1 of a data set of two objects, and of its baselines.
func published(t *testing.T, s store.Store) {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("job"), Stage: "pair", Books: schemas.Books{In: 5, OK: 5}, Counts: map[string]int64{"pairs_g1": 2, "pairs_g2": 1}}
	put := func(i int, table string, o schemas.Object, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		m.Shards[i].Objects[table] = o
	}
	for i := range 2 {
		m.Shards = append(m.Shards, schemas.ManifestShard{Shard: i, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}})
		var pairs []schemas.Pair
		for k := range 1 + i {
			pairs = append(pairs, schemas.Pair{PairID: fmt.Sprint(i, k), ProfileID: "p", Prompt: []schemas.Message{{Role: "user", Content: "a <b>\n天"}}, Margin: 1, Model: "m", JudgedBy: []string{"rules"}})
		}
		o, err := store.PutRows(t.Context(), s, schemas.TablePair, pairs)
		put(i, schemas.TablePair, o, err)
		o, err = store.PutRows(t.Context(), s, schemas.TableDPO, pairs)
		put(i, schemas.TableDPO, o, err)
		o, err = store.PutRows(t.Context(), s, schemas.TableKTO, []schemas.Desirability{{DesirabilityID: fmt.Sprint(i), Label: true, Score: 0.75}})
		put(i, schemas.TableKTO, o, err)
		o, err = store.PutRows(t.Context(), s, schemas.TableSFT, []schemas.Demonstration{{DemonstrationID: fmt.Sprint(i)}})
		put(i, schemas.TableSFT, o, err)
	}
	uri, err := store.PutManifest(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	a := pair.Activities{Store: s}
	if _, err := a.PublishVersion(t.Context(), pair.PublishInput{Dataset: "d", Manifest: uri}); err != nil {
		t.Fatal(err)
	}
}

func TestAnExportedVersionHoldsEveryRowAndACardThatFitsItsFiles(t *testing.T) {
	s := store.NewMemory("rpo")
	published(t, s)
	for _, name := range []string{"d", "d-dpo", "d-kto", "d-sft"} {
		for _, format := range []string{formatParquet, formatJSONL} {
			t.Run(name+" as "+format, func(t *testing.T) {
				v, err := versionOf(t.Context(), s, name, 0)
				if err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(t.TempDir(), "new")
				files, err := writeVersion(t.Context(), s, v, format, dir)
				if err != nil || len(files) != 2 {
					t.Fatalf("%v, %v", files, err)
				}
				total := int64(0)
				for i, f := range files {
					data, err := os.ReadFile(filepath.Join(dir, f.Path))
					if err != nil || int64(len(data)) != f.Bytes || !strings.HasSuffix(f.Path, "."+format) {
						t.Fatalf("%+v has %d bytes, %v", f, len(data), err)
					}
					if total += f.Rows; format == formatJSONL && int64(bytes.Count(data, []byte("\n"))) != f.Rows {
						t.Errorf("%s has %d lines, want %d", f.Path, bytes.Count(data, []byte("\n")), f.Rows)
					}
					if format != formatJSONL || name != "d" {
						continue
					}
					want, err := store.GetRows[schemas.Pair](t.Context(), s, v.Objects[i])
					if err != nil {
						t.Fatal(err)
					}
					var got []schemas.Pair
					for line := range bytes.Lines(data) {
						row, err := schemas.RowFromJSON[schemas.Pair](line)
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, row)
					}
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s holds %+v, want %+v", f.Path, got, want)
					}
				}
				card, err := os.ReadFile(filepath.Join(dir, "README.md"))
				if err != nil {
					t.Fatal(err)
				}
				front, prose, _ := strings.Cut(strings.TrimPrefix(string(card), "---\n"), "\n---\n")
				var meta struct {
					Info struct {
						Splits []struct {
							Bytes int64 `yaml:"num_bytes"`
							Rows  int64 `yaml:"num_examples"`
						}
						Features []struct{ Name string }
					} `yaml:"dataset_info"`
					Configs []struct {
						Files []struct{ Path []string } `yaml:"data_files"`
					}
				}
				if err := yaml.Unmarshal([]byte(front), &meta); err != nil {
					t.Fatal(err)
				}
				if len(meta.Info.Splits) != 1 || meta.Info.Splits[0].Rows != total || meta.Info.Splits[0].Bytes != files[0].Bytes+files[1].Bytes || meta.Configs[0].Files[0].Path[1] != files[1].Path {
					t.Errorf("card: %s", front)
				}
				for _, f := range meta.Info.Features {
					if !strings.Contains(prose, "| `"+f.Name+"` |") {
						t.Errorf("the card does not explain column %s", f.Name)
					}
				}
				if strings.Contains(prose, "|  |\n") || !strings.Contains(prose, v.Hash) || name == "d" && format == formatJSONL && strings.Contains(prose, "Parquet") {
					t.Errorf("card: %s", prose)
				}
			})
		}
	}
}

func TestAnExportReplacesNothingAndMistakesNameTheMend(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		kind schemas.ErrorType
		says string
	}{
		"export d":                               {usageError, "--to"},
		"export d --to x --format csv":           {usageError, "--format"},
		"export d --to " + full:                  {schemas.InvalidInput, "not empty"},
		"pin d":                                  {usageError, "NAME VERSION"},
		"pin d newest":                           {usageError, `"newest"`},
		"unpin d 0":                              {usageError, `"0"`},
		"shw":                                    {usageError, "export, forget, list, pin, show, unpin"},
		"export d more --to x --format parquet ": {usageError, "want 1 arguments"},
		"forget d":                               {usageError, "--user"},
		"forget d e --profile p":                 {usageError, "at most 1"},
	} {
		err := datasetCommand(t.Context(), strings.Fields(args))
		if schemas.TypeOf(err) != want.kind || !strings.Contains(err.Error(), want.says) {
			t.Errorf("dataset %s gives %v", args, err)
		}
	}
	s := store.NewMemory("rpo")
	published(t, s)
	for name, number := range map[string]int{"d": 2, "none": 0} {
		if _, err := versionOf(t.Context(), s, name, number); schemas.TypeOf(err) != schemas.NotFound || !strings.Contains(err.Error(), "rpo dataset list") {
			t.Errorf("version %d of %s gives %v", number, name, err)
		}
	}
}
