package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"rpo/schemas"
)

// SupplementStage is the stage of a manifest whose shards hold rows that an
// earlier manifest's stage set aside.
const SupplementStage = "supplement"

// PutSupplement writes a manifest under the hash of its bytes, so that equal rows
// requeued twice are one manifest, and returns its URI.
func PutSupplement(ctx context.Context, s Store, m schemas.Manifest) (uri string, err error) {
	m.Stage = SupplementStage
	if problem := manifestProblem(m); problem != "" {
		return "", schemas.Errorf(schemas.Internal, "put the supplement of job %.100q: %s", m.Job, problem)
	}
	data, err := encodeJSON(m)
	if err != nil {
		return "", err
	}
	key := "supplements/" + digest(data) + ".json"
	return s.URI(key), s.Put(ctx, key, data)
}

// FindManifest returns the URI of the manifest of a job's stage, by the job's id.
// A job whose stage has not ended has none: NotFound.
func FindManifest(ctx context.Context, s Store, job string) (string, error) {
	if err := checkName("job", job); err != nil {
		return "", err
	}
	// A job is of one stage, whose folder holds the manifest.
	keys, err := s.List(ctx, "runs/"+job+"/", "", 1)
	if err != nil {
		return "", err
	}
	if len(keys) > 0 {
		stage, _, _ := strings.Cut(strings.TrimPrefix(keys[0], "runs/"+job+"/"), "/")
		key := "runs/" + job + "/" + stage + "/manifest.json"
		if there, err := s.Exists(ctx, key); err != nil || there {
			return s.URI(key), err
		}
	}
	return "", schemas.Errorf(schemas.NotFound, "job %s has no manifest: its stage has not ended, or the job is of another bucket", job)
}

// Times is a Store that says when an object was written last.
type Times interface {
	Modified(ctx context.Context, key string) (time.Time, error)
}

var _ Times = (*S3)(nil)

// Modified returns the server's time of the last write of an object.
func (s *S3) Modified(ctx context.Context, key string) (time.Time, error) {
	if err := checkKey(key); err != nil {
		return time.Time{}, err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.at(key)})
	if err != nil {
		return time.Time{}, s.classify(ctx, "head", key, err)
	}
	return aws.ToTime(out.LastModified), nil
}

// CommittedAt returns when a shard of a stage was committed, and whether the
// store knows: an import has no commit records, and not every store keeps times.
func CommittedAt(ctx context.Context, s Store, job, stage string, shard int) (at time.Time, known bool, err error) {
	times, ok := s.(Times)
	if !ok || slices.Contains([]string{importStage, SupplementStage}, stage) {
		return at, false, nil
	}
	key, err := commitKey(job, stage, shard)
	if err != nil {
		return at, false, err
	}
	at, err = times.Modified(ctx, key)
	if schemas.TypeOf(err) == schemas.NotFound {
		return at, false, nil
	}
	return at, err == nil && !at.IsZero(), err
}
