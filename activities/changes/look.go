package changes

import (
	"context"
	"strings"

	"rpo/activities/chat"
	"rpo/activities/judge"
	"rpo/activities/judge/rules"
	"rpo/activities/reverse"
	"rpo/activities/store"
	"rpo/schemas"
)

// DefaultTurns is how many turns are sampled.
const DefaultTurns = 200

// Options say how closely to look.
type Options struct {
	// Turns are sampled; 0 means DefaultTurns.
	Turns int
	// Input is that of the run, nil if it is not known: then only what needs no
	// options is run anew.
	Input *schemas.RunPipelineInput
	// Models answer from the call cache alone (NotCached stands behind it); nil if the
	// endpoints are not known.
	Models chat.Models
}

// Look compares what a manifest holds with what the present code makes of the
// same input.
func Look(ctx context.Context, s store.Store, uri string, o Options) (Report, error) {
	m, err := store.GetManifest(ctx, s, uri)
	if err != nil {
		return Report{}, err
	}
	r := Report{Manifest: uri, Stage: m.Stage, Code: schemas.CodeVersion}
	for _, object := range m.Objects(schemas.TableTurn) {
		r.All += object.Rows
	}
	if r.All == 0 {
		return r, schemas.Errorf(schemas.InvalidInput, "manifest %s of stage %s has no turns: name the manifest of an import or of a stage on turns", uri, m.Stage)
	}
	if r.Jobs, err = jobs(ctx, s, m); err != nil {
		return r, err
	}
	if o.Turns == 0 {
		o.Turns = DefaultTurns
	}
	sampled, err := draw(ctx, s, m, o.Turns)
	if err != nil {
		return r, err
	}
	ruled, reversal, recognition := &Step{Step: "rules", Table: schemas.TableVerdict}, &Step{Step: "reversal", Table: schemas.TableOpposite}, &Step{Step: "recognition", Table: schemas.TableProfile}
	paired := &Step{Step: "pairs", Table: schemas.TablePair}
	sampling, judging, reversing := &Step{Step: "responses", Table: schemas.TableResponse}, &Step{Step: "verdicts", Table: schemas.TableVerdict}, &Step{Step: "opposites", Table: schemas.TableOpposite}
	by := makers{}
	for _, d := range sampled {
		r.Turns += int64(len(d.turns))
		makersOf(d, by)
		byRule(d, ruled, reversal, recognition)
		if o.Input == nil {
			paired.unknown(int64(len(d.pairs)), noInput)
		} else if err := pairs(ctx, s, d, o.Input.PairOptions, paired); err != nil {
			return r, err
		}
		if o.Input == nil || o.Models == nil {
			sampling.unknown(int64(len(d.responses)), noInput)
			judging.unknown(ofModels(d.verdicts, func(v schemas.Verdict) string { return v.Source }), noInput)
			reversing.unknown(ofModels(d.opposites, func(v schemas.Opposite) string { return v.Source }), noInput)
			continue
		}
		if err := responses(ctx, s, d, o.Models, o.Input, sampling); err != nil {
			return r, err
		}
		if err := verdicts(ctx, s, d, o.Models, o.Input, judging); err != nil {
			return r, err
		}
		if err := opposites(ctx, s, d, o.Models, o.Input, reversing); err != nil {
			return r, err
		}
	}
	r.Made = by.list()
	for _, step := range []*Step{recognition, sampling, ruled, judging, reversal, reversing, paired} {
		r.Steps = append(r.Steps, *step)
	}
	generation := int64(0)
	if o.Input != nil {
		generation = o.Input.Generation
	}
	r.advise(generation)
	return r, nil
}

func ofModels[T any](rows []T, source func(T) string) (n int64) {
	for _, row := range rows {
		if source(row) == schemas.ByModel {
			n++
		}
	}
	return n
}

// makersOf counts who made the sampled rows. A maker's name ends in the version of
// its prompt, or is the rule profile with its version.
func makersOf(d drawn, by makers) {
	for _, p := range d.profiles {
		by.add(schemas.TableProfile, p.MadeBy, p.MadeBy)
	}
	for _, r := range d.responses {
		by.add(schemas.TableResponse, r.Model, r.Model)
	}
	for _, v := range d.verdicts {
		by.add(schemas.TableVerdict, v.JudgedBy, signed(v.JudgedBy, v.Source, judge.PromptVersions()))
	}
	for _, o := range d.opposites {
		by.add(schemas.TableOpposite, o.ReversedBy, signed(o.ReversedBy, o.Source, reverse.PromptVersions()))
	}
}

// signed is a maker's name with the present versions in the place of others.
func signed(by, source string, prompts []string) string {
	if source == schemas.ByRule {
		profile, _, _ := strings.Cut(by, "/")
		return rules.Version(profile)
	}
	words := strings.Fields(by)
	for i, word := range words {
		name, _, ok := strings.Cut(word, "/")
		for _, prompt := range prompts {
			if now, _, _ := strings.Cut(prompt, "/"); ok && name == now {
				words[i] = prompt
			}
		}
	}
	return strings.Join(words, " ")
}

// jobs finds the jobs that made objects of a manifest, by the first commit record
// of every job: one listing and one object a job.
func jobs(ctx context.Context, s store.Store, m schemas.Manifest) ([]Job, error) {
	held := map[string]bool{}
	for _, shard := range m.Shards {
		for _, o := range shard.Objects {
			held[o.SHA256] = true
		}
	}
	out := []Job{}
	for after := ""; ; {
		keys, err := s.List(ctx, "runs/", after, 1)
		if err != nil || len(keys) == 0 {
			return out, err
		}
		job, _, _ := strings.Cut(strings.TrimPrefix(keys[0], "runs/"), "/")
		after = "runs/" + job + "0" // '0' follows '/' in the order of bytes
		stage, _, _ := strings.Cut(strings.TrimPrefix(keys[0], "runs/"+job+"/"), "/")
		records, err := s.List(ctx, "runs/"+job+"/"+stage+"/shard-", "", 1)
		if err != nil {
			return nil, err
		}
		for _, key := range records {
			data, err := s.Get(ctx, key)
			if err != nil {
				return nil, err
			}
			var r schemas.CommitRecord
			if err := schemas.DecodeStrict(data, &r); err != nil {
				return nil, schemas.Errorf(schemas.CorruptData, "read %s: %w", s.URI(key), err)
			}
			if makes(r, held) {
				out = append(out, Job{r.Stage, r.Job, r.CodeVersion, r.ConfigHash})
			}
		}
	}
}

// makes reports whether a stage made, and did not merely hand on, a held object.
func makes(r schemas.CommitRecord, held map[string]bool) bool {
	in := map[string]bool{}
	for _, sum := range r.Inputs {
		in[sum] = true
	}
	for _, o := range r.Outputs {
		if held[o.SHA256] && !in[o.SHA256] {
			return true
		}
	}
	return false
}
