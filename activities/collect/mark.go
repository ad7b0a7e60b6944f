package collect

import (
	"context"
	"strings"

	"rpo/activities/store"
	"rpo/schemas"
)

// marks are what documents name.
type marks struct {
	s store.Store
	// live are the named keys.
	live map[string]bool
	// named are the jobs of which a version or a model names something.
	named map[string]bool
	// ended are the jobs with a manifest or, of trainings, a model.
	ended map[string]bool
	// superseded holds the keys that forgotten rows took from old versions.
	superseded map[string]bool
	models     map[string]bool // names of promoted models
	versions   int
}

// mark reads all documents but those of dropped jobs.
func mark(ctx context.Context, s store.Store, dropped map[string]bool) (*marks, error) {
	m := &marks{s: s, live: map[string]bool{}, named: map[string]bool{}, ended: map[string]bool{}, superseded: map[string]bool{}, models: map[string]bool{}}
	for _, step := range []func(context.Context) error{m.datasets, m.promoted} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for _, folder := range []string{"imports/", "supplements/", "runs/"} {
		keys, err := s.List(ctx, folder, "", 0)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			job := jobOf(key)
			if dropped[job] {
				continue
			}
			name := key[strings.LastIndexByte(key, '/')+1:]
			switch {
			case !strings.HasSuffix(key, ".json") || strings.Contains(key, "/failed/"):
				continue
			case folder == "runs/" && strings.HasPrefix(name, "shard-"):
				err = m.record(ctx, key)
			case folder != "runs/" || name == "manifest.json":
				m.ended[job] = true
				err = m.manifest(ctx, key)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// jobOf is the second segment of a key, which names the job in most folders.
func jobOf(key string) string {
	_, rest, _ := strings.Cut(key, "/")
	job, _, _ := strings.Cut(rest, "/")
	return job
}

func (m *marks) datasets(ctx context.Context) error {
	names, err := store.Datasets(ctx, m.s)
	if err != nil {
		return err
	}
	for _, name := range names {
		numbers, err := store.Versions(ctx, m.s, name)
		if err != nil {
			return err
		}
		gone, err := store.Superseded(ctx, m.s, name)
		if err != nil {
			return err
		}
		for _, number := range numbers {
			v, err := store.Version(ctx, m.s, name, number)
			if err != nil {
				return err
			}
			m.versions++
			_, without := gone[number]
			for _, o := range v.Objects {
				m.live[o.Key] = true
				if without {
					m.superseded[o.Key] = true
				}
			}
			if err := m.uris(v.Manifest, v.Watermark); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *marks) promoted(ctx context.Context) error {
	names, err := store.Models(ctx, m.s)
	if err != nil {
		return err
	}
	for _, name := range names {
		m.models[name] = true
		numbers, err := store.ModelVersions(ctx, m.s, name)
		if err != nil {
			return err
		}
		for _, number := range numbers {
			v, err := store.ModelVersion(ctx, m.s, name, number)
			if err != nil {
				return err
			}
			m.all(v.Files)
			if err := m.uris(v.Record, v.Training.Manifest, v.Evaluation.Manifest); err != nil {
				return err
			}
		}
	}
	return nil
}

// uris marks documents, and their jobs as named.
func (m *marks) uris(uris ...string) error {
	for _, uri := range uris {
		if uri == "" {
			continue
		}
		key, err := m.s.Key(uri)
		if err != nil {
			return err
		}
		m.live[key] = true
		if strings.HasPrefix(key, "runs/") {
			m.named[jobOf(key)] = true
		}
	}
	return nil
}

func (m *marks) all(objects map[string]schemas.Object) {
	for _, o := range objects {
		m.live[o.Key] = true
	}
}

func (m *marks) manifest(ctx context.Context, key string) error {
	doc, err := store.GetManifest(ctx, m.s, m.s.URI(key))
	if err != nil {
		return absent(err)
	}
	for _, shard := range doc.Shards {
		m.all(shard.Objects)
	}
	return nil
}

func (m *marks) record(ctx context.Context, key string) error {
	data, err := m.s.Get(ctx, key)
	if err != nil {
		return absent(err)
	}
	var r schemas.CommitRecord
	if err := schemas.DecodeStrict(data, &r); err != nil {
		// Nobody knows what it names: nothing may be deleted.
		return schemas.Errorf(schemas.CorruptData, "read %s: %w: nothing is collected while a record cannot be read", m.s.URI(key), err)
	}
	if m.all(r.Outputs); r.Stage == "train" {
		m.ended[r.Job] = true
	}
	return nil
}

// absent forgives a document that went after it was listed.
func absent(err error) error {
	if schemas.TypeOf(err) == schemas.NotFound {
		return nil
	}
	return err
}
