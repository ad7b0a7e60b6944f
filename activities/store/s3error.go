package store

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"rpo/schemas"
)

// statusOf returns the HTTP status of an answer, 0 if none came.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}

func codeOf(err error) string {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answer.ErrorCode()
	}
	return ""
}

// classify turns an error of the SDK into one of ours that names the object and,
// where a person can mend it, the mend. key is "" for the bucket itself.
func (s *S3) classify(ctx context.Context, verb, key string, err error) error {
	if err == nil {
		return nil
	}
	what := verb + " " + s.URI(key)
	if key == "" {
		what = verb + " bucket " + s.bucket + " at " + s.endpoint
	}
	if ended := ctx.Err(); ended != nil {
		return schemas.Errorf(schemas.Overloaded, "%s: %w", what, ended)
	}
	code, status := codeOf(err), statusOf(err)
	switch code {
	case "NoSuchBucket":
		return schemas.Errorf(schemas.NotFound,
			"%s: bucket %s does not exist at %s: create it or set RPO_BUCKET: %w", what, s.bucket, s.endpoint, brief(err))
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return schemas.Errorf(schemas.InvalidInput,
			"%s: %s refuses the credentials: mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or AWS_SHARED_CREDENTIALS_FILE: %w",
			what, s.endpoint, brief(err))
	case "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests":
		return schemas.Errorf(schemas.RateLimited, "%s: %w", what, brief(err))
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody":
		return schemas.Errorf(schemas.CorruptData, "%s: the bytes changed on their way: %w", what, brief(err))
	case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return schemas.Errorf(schemas.InvalidInput,
			"%s: the bucket lies in another region or behind another endpoint: set AWS_REGION: %w", what, brief(err))
	case "RequestTimeout":
		return schemas.Errorf(schemas.Overloaded, "%s: %w", what, brief(err))
	}
	switch {
	case status == http.StatusNotFound && key != "":
		return schemas.Errorf(schemas.NotFound, "object %s does not exist: %w", s.URI(key), brief(err))
	case status == http.StatusNotFound:
		// An S3 server says NoSuchBucket; this may be any web server.
		return schemas.Errorf(schemas.NotFound,
			"%s: there is no such bucket, or no S3 server: create it, set RPO_BUCKET or mend AWS_ENDPOINT_URL_S3: %w", what, brief(err))
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return schemas.Errorf(schemas.InvalidInput,
			"%s: access is denied: the credentials must be right and allowed to list, read, write and delete in the bucket: %w", what, brief(err))
	case status == http.StatusTooManyRequests:
		return schemas.Errorf(schemas.RateLimited, "%s: %w", what, brief(err))
	case status == http.StatusNotImplemented:
		return schemas.Errorf(schemas.InvalidInput, "%s: %s does not support this request: %w", what, s.endpoint, brief(err))
	case status >= 500 || status == http.StatusConflict:
		return schemas.Errorf(schemas.Overloaded, "%s: %w", what, brief(err))
	case status >= 400:
		return schemas.Errorf(schemas.Internal, "%s: %w", what, brief(err))
	case status >= 200:
		return schemas.Errorf(schemas.CorruptData, "%s: %s does not answer as an S3 server: %w", what, s.endpoint, brief(err))
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return schemas.Errorf(schemas.Overloaded,
			"%s: %s cannot be reached: start the S3 server or mend AWS_ENDPOINT_URL_S3: %w", what, s.endpoint, brief(err))
	}
	return schemas.Errorf(schemas.Overloaded, "%s: %w", what, brief(err))
}

// brief cuts the SDK's framing off an error: what the server said, or why the
// connection failed.
func brief(err error) error {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answer
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return innermost(err)
}
