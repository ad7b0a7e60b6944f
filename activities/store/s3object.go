package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"rpo/schemas"
)

// put sends one PUT with our own checksum. The body must be seekable: the SDK
// cannot sign or retry another one over plain HTTP.
func (s *S3) put(ctx context.Context, key string, body io.ReadSeeker, size int64, sum string, absent bool) error {
	raw, err := hex.DecodeString(sum)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "put %s: checksum %q is not hex: %w", s.URI(key), sum, err)
	}
	input := &s3.PutObjectInput{
		Bucket:         &s.bucket,
		Key:            s.at(key),
		Body:           body,
		ContentLength:  &size,
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(raw)),
	}
	if absent {
		input.IfNoneMatch = aws.String("*")
	}
	_, err = s.client.PutObject(ctx, input)
	return err
}

func (s *S3) Put(ctx context.Context, key string, data []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	err := s.put(ctx, key, bytes.NewReader(data), int64(len(data)), digest(data), false)
	return s.classify(ctx, "put", key, err)
}

func (s *S3) PutIfAbsent(ctx context.Context, key string, data []byte) (bool, error) {
	if err := checkConditional(key, data); err != nil {
		return false, err
	}
	err := s.put(ctx, key, bytes.NewReader(data), int64(len(data)), digest(data), true)
	switch status := statusOf(err); {
	case err == nil:
		return true, nil
	case status == http.StatusPreconditionFailed:
		// The SDK repeats a PUT whose answer was lost, so a refusal may be for our
		// own object.
		return settle(ctx, s, key, data, nil)
	case status == 0 || status >= 500 || status == http.StatusConflict:
		return settle(ctx, s, key, data, s.classify(ctx, "put", key, err))
	default:
		return false, s.classify(ctx, "put", key, err)
	}
}

func (s *S3) Get(ctx context.Context, key string) (data []byte, err error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	err = reread(ctx, func() error {
		data, err = s.get(ctx, key)
		return err
	})
	return data, err
}

func (s *S3) get(ctx context.Context, key string) ([]byte, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: s.at(key), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil, s.classify(ctx, "get", key, err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	// The SDK fails on a wrong checksum, too, but with an error that cannot be
	// told from a connection that broke.
	if want := hexSum(out.ChecksumSHA256); want != "" && int64(len(data)) == aws.ToInt64(out.ContentLength) && digest(data) != want {
		return nil, schemas.Errorf(schemas.CorruptData,
			"read %s: its sha256 is %s, the server says %s", s.URI(key), digest(data), want)
	}
	if err != nil {
		return nil, bodyError(s.URI(key), err)
	}
	return data, nil
}

func (s *S3) Exists(ctx context.Context, key string) (bool, error) { return exists(ctx, s, key) }

func (s *S3) Head(ctx context.Context, key string) (int64, string, error) {
	if err := checkKey(key); err != nil {
		return 0, "", err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &s.bucket, Key: s.at(key), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return 0, "", s.classify(ctx, "head", key, err)
	}
	return aws.ToInt64(out.ContentLength), hexSum(out.ChecksumSHA256), nil
}

func (s *S3) List(ctx context.Context, prefix, startAfter string, limit int) ([]string, error) {
	input := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.at(prefix)}
	if startAfter != "" {
		input.StartAfter = s.at(startAfter)
	}
	if limit > 0 && limit < 1000 {
		input.MaxKeys = aws.Int32(int32(limit))
	}
	var keys []string
	pages := s3.NewListObjectsV2Paginator(s.client, input)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.classify(ctx, "list", prefix, err)
		}
		for _, object := range page.Contents {
			if limit > 0 && len(keys) == limit {
				return keys, nil
			}
			keys = append(keys, aws.ToString(object.Key)[len(s.prefix):])
		}
		if limit > 0 && len(keys) == limit {
			return keys, nil
		}
	}
	return keys, nil
}

func (s *S3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.at(key)})
	err = s.classify(ctx, "delete", key, err)
	if err != nil && codeOf(err) == "NoSuchKey" {
		return nil
	}
	return err
}

func (s *S3) PutFile(ctx context.Context, key, path string) (schemas.Object, error) {
	return putFile(ctx, s, key, path, func(f *os.File, object schemas.Object) error {
		return s.classify(ctx, "put", key, s.put(ctx, key, f, object.Bytes, object.SHA256, false))
	})
}

func (s *S3) GetFile(ctx context.Context, object schemas.Object, path string) error {
	if err := checkKey(object.Key); err != nil {
		return err
	}
	return reread(ctx, func() error {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: s.at(object.Key)})
		if err != nil {
			return s.classify(ctx, "get", object.Key, err)
		}
		defer out.Body.Close()
		return writeVerified(s.URI(object.Key), object, path, out.Body)
	})
}

// hexSum turns a checksum header into lower-case hex. Checksums of multipart
// uploads ("…-3") are not of the whole object and give "".
func hexSum(header *string) string {
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(header))
	if err != nil {
		return ""
	}
	return hex.EncodeToString(raw)
}
