package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// Activities write reports.
type Activities struct {
	Store store.Store
	// UI is the web UI's address, "" if none is known; Namespace the worker's.
	UI        string
	Namespace string
}

// WriteInput is what a finished pipeline knows.
type WriteInput struct {
	Summary    schemas.Summary          `json:"summary"`
	Profiles   string                   `json:"profiles"`
	WorkflowID string                   `json:"workflow_id"`
	Input      schemas.RunPipelineInput `json:"input"`
}

// Written says where the report and the dataset card lie.
type Written struct {
	Report string `json:"report"`
	Card   string `json:"card"`
	// ImportQuarantined counts the rows that the import set aside.
	ImportQuarantined int64 `json:"import_quarantined"`
}

// WriteReport writes the run's HTML report, and beside the pairs of the data set
// version its card with the pairs in the Hugging Face layout.
func (a *Activities) WriteReport(ctx context.Context, in WriteInput) (Written, error) {
	imported, err := store.GetManifest(ctx, a.Store, in.Profiles)
	if err != nil {
		return Written{}, err
	}
	out := Written{ImportQuarantined: imported.Books.Quarantined}
	in.Summary.Quarantined += imported.Books.Quarantined
	if out.Card, err = a.writeCard(ctx, in); err != nil {
		return out, err
	}
	d := Data{Title: "RPO run " + in.WorkflowID, Summary: in.Summary, RunLink: a.runLink(in.WorkflowID), Configuration: configuration(in.Input)}
	model, err := train.Record(ctx, a.Store, in.Summary.Model)
	if err != nil {
		return out, err
	}
	events, err := a.Store.Get(ctx, model.Outputs["events.jsonl"].Key)
	if err != nil {
		return out, err
	}
	if d.Steps, d.Evals, err = ReadEvents(bytes.NewReader(events)); err != nil {
		return out, err
	}
	if d.Examples, err = a.examples(ctx, in.Summary.Stages); err != nil {
		return out, err
	}
	page, err := HTML(d)
	if err != nil {
		return out, err
	}
	var jobs []string
	for _, stage := range in.Summary.Stages {
		jobs = append(jobs, stage.Job)
	}
	key := "reports/" + schemas.ID("report", jobs...) + ".html"
	out.Report = a.Store.URI(key)
	return out, a.Store.Put(ctx, key, page)
}

func (a *Activities) writeCard(ctx context.Context, in WriteInput) (string, error) {
	s := in.Summary
	v, err := store.Version(ctx, a.Store, s.Dataset, s.DatasetVersion)
	if err != nil {
		return "", err
	}
	m, err := store.GetManifest(ctx, a.Store, v.Manifest)
	if err != nil {
		return "", err
	}
	folder := fmt.Sprintf("datasets/%s/v%06d/", s.Dataset, s.DatasetVersion)
	card := Card{Dataset: s.Dataset, Version: s.DatasetVersion, Hash: s.DatasetHash, Pairs: s.Pairs, PairsByG: s.PairsByG,
		Summary: &s, Books: m.Books}
	if err := a.provenance(ctx, m, v.Objects[0], &card); err != nil {
		return "", err
	}
	for i, o := range v.Objects {
		path := fmt.Sprintf("data/train-%05d-of-%05d.parquet", i, len(v.Objects))
		data, err := a.Store.Get(ctx, o.Key)
		if err != nil {
			return "", err
		}
		if err := a.Store.Put(ctx, folder+path, data); err != nil {
			return "", err
		}
		card.Files = append(card.Files, CardFile{Path: path, Rows: o.Rows, Bytes: o.Bytes})
	}
	text, err := DatasetCard(card)
	if err != nil {
		return "", err
	}
	return a.Store.URI(folder + "README.md"), a.Store.Put(ctx, folder+"README.md", text)
}

// provenance says of the first pairs who sampled and judged them, and of the
// first profiles where they come from.
func (a *Activities) provenance(ctx context.Context, m schemas.Manifest, first schemas.Object, card *Card) error {
	pairs, err := store.GetRows[schemas.Pair](ctx, a.Store, first)
	if err != nil {
		return err
	}
	card.Model, card.JudgedBy = pairs[0].Model, strings.Join(pairs[0].JudgedBy, ", ")
	objects := m.Objects(schemas.TableProfile)
	if len(objects) == 0 {
		return nil
	}
	profiles, err := store.GetRows[schemas.Profile](ctx, a.Store, objects[0])
	if err == nil && len(profiles) > 0 {
		card.Sources = profiles[0].Source
	}
	return err
}

// examples returns a few pairs with the largest margins of the first shard.
func (a *Activities) examples(ctx context.Context, stages []schemas.StageResult) ([]schemas.Pair, error) {
	for _, s := range stages {
		if s.Stage != "pair" {
			continue
		}
		m, err := store.GetManifest(ctx, a.Store, s.Manifest)
		if err != nil {
			return nil, err
		}
		for _, o := range m.Objects(schemas.TablePair) {
			pairs, err := store.GetRows[schemas.Pair](ctx, a.Store, o)
			if err != nil || len(pairs) > 0 {
				return typical(pairs), err
			}
		}
	}
	return nil, nil
}

// typical picks at most three pairs that reverse something, of different turns.
func typical(pairs []schemas.Pair) []schemas.Pair {
	var out []schemas.Pair
	turns := map[string]bool{}
	for _, p := range pairs {
		if len(p.Reversed) > 0 && !turns[p.TurnID] && len(out) < 3 {
			turns[p.TurnID] = true
			out = append(out, p)
		}
	}
	return out
}

func (a *Activities) runLink(workflowID string) string {
	if a.UI == "" {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s", a.UI, a.Namespace, workflowID)
}

// configuration lists the input's fields by name.
func configuration(in schemas.RunPipelineInput) []Item {
	data, err := json.Marshal(in)
	if err != nil {
		return nil
	}
	values := map[string]json.RawMessage{}
	if json.Unmarshal(data, &values) != nil {
		return nil
	}
	var items []Item
	for _, name := range slices.Sorted(maps.Keys(values)) {
		items = append(items, Item{Name: name, Value: string(values[name])})
	}
	return items
}
