package store

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"rpo/schemas"
)

const (
	// dialTimeout and answerTimeout turn a server that does not answer into an
	// error while an activity still has time to report it. answerTimeout counts
	// from the last byte of the request, stallTimeout from the last byte of either
	// side: it ends a body that no longer comes.
	dialTimeout   = 5 * time.Second
	answerTimeout = time.Minute
	stallTimeout  = time.Minute

	// credentialTimeout bounds the search for credentials, whose last resort is a
	// metadata service that most machines do not have.
	credentialTimeout = 10 * time.Second
)

// Config says where objects lie. Address, region and credentials come from the
// AWS SDK's usual variables and profile files (AWS_ENDPOINT_URL_S3,
// AWS_ENDPOINT_URL, AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID and so on).
type Config struct {
	Bucket string
	// Prefix, if not empty, is the folder in the bucket that holds all keys.
	Prefix string
	// StallTimeout is how long nothing may move on a connection before it is given
	// up; 0 means a minute.
	StallTimeout time.Duration
}

// S3 is a Store in a bucket of S3 or of a server that speaks its protocol.
type S3 struct {
	client   *s3.Client
	bucket   string
	prefix   string // "" or with a slash at its end
	endpoint string // for messages; never holds user information
}

var _ Store = (*S3)(nil)

// NewS3 reads the AWS settings and connects to nothing; Check does.
//
// With an endpoint of its own, which says that the server is not AWS, buckets
// are addressed by path and the SDK's checksums are sent when required only,
// because many such servers refuse them in trailers. The SHA-256 of this
// package is a plain header and is always sent.
func NewS3(ctx context.Context, c Config) (*S3, error) {
	if c.Bucket == "" {
		return nil, schemas.Errorf(schemas.InvalidInput, "open the object store: no bucket is named: set RPO_BUCKET")
	}
	prefix := strings.Trim(c.Prefix, "/")
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return nil, err
		}
		prefix += "/"
	}
	settings, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(
		awshttp.NewBuildableClient().
			WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
			WithTransportOptions(func(t *http.Transport) {
				t.ResponseHeaderTimeout = answerTimeout
				t.DialContext = dialer(t.DialContext, cmp.Or(c.StallTimeout, stallTimeout))
			}).
			// The SDK's own takes an upload of some length for silence.
			WithReadTimeout(0)))
	if err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "open bucket %s: read the AWS settings: %w", c.Bucket, err)
	}
	endpoint := ""
	client := s3.NewFromConfig(settings, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true
		if o.BaseEndpoint == nil {
			return
		}
		endpoint = *o.BaseEndpoint
		o.UsePathStyle = true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if o.Region == "" {
			o.Region = "us-east-1"
		}
	})
	if endpoint == "" && client.Options().Region == "" {
		return nil, schemas.Errorf(schemas.InvalidInput,
			"open bucket %s: no region and no endpoint: set AWS_REGION for AWS, or AWS_ENDPOINT_URL_S3 for another server", c.Bucket)
	}
	if endpoint != "" {
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, schemas.Errorf(schemas.InvalidInput,
				"open bucket %s: the endpoint is not an http or https URL: set AWS_ENDPOINT_URL_S3 to one like http://127.0.0.1:7070", c.Bucket)
		} else {
			endpoint = u.Scheme + "://" + u.Host
		}
	} else {
		endpoint = "AWS in " + client.Options().Region
	}
	return &S3{client: client, bucket: c.Bucket, prefix: prefix, endpoint: endpoint}, nil
}

// Check makes sure that the server answers, that it knows the credentials and
// that the bucket exists, so that a mistake is reported at the start and not by
// the first shard. It writes nothing.
func (s *S3) Check(ctx context.Context) error {
	if provider := s.client.Options().Credentials; provider != nil {
		limited, cancel := context.WithTimeout(ctx, credentialTimeout)
		defer cancel()
		_, err := provider.Retrieve(limited)
		if err != nil && ctx.Err() == nil {
			return schemas.Errorf(schemas.InvalidInput, "open bucket %s at %s: no credentials: "+
				"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SHARED_CREDENTIALS_FILE: %w",
				s.bucket, s.endpoint, innermost(err))
		}
	}
	// A listing and not HeadBucket, whose errors have no body that tells a wrong
	// key from a forbidden bucket.
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	if err == nil && out.Name == nil && out.KeyCount == nil && out.MaxKeys == nil {
		// The SDK takes any page with status 200 for an empty listing.
		return schemas.Errorf(schemas.CorruptData,
			"open bucket %s: %s does not answer as an S3 server: mend AWS_ENDPOINT_URL_S3", s.bucket, s.endpoint)
	}
	return s.classify(ctx, "open", "", err)
}

func (s *S3) URI(key string) string { return "s3://" + s.bucket + "/" + s.prefix + key }

func (s *S3) Key(uri string) (string, error) { return keyOf(s.URI(""), uri) }

func (s *S3) at(key string) *string { return aws.String(s.prefix + key) }

// innermost returns the last error of a chain: the SDK wraps what went wrong in
// sentences about its own parts.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
