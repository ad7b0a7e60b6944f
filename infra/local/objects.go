package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

const (
	region = "us-east-1"
	// maxS3Connections is far above what workers on one machine open, and low
	// enough that a runaway client meets 503 before the file-descriptor limit.
	maxS3Connections = 512
)

// startObjectServer serves the folder state.objects as S3 and makes the
// bucket. It returns when both are there. A server that ends by itself later
// reports to failed.
func startObjectServer(ctx context.Context, o *options, st *state, failed chan<- error) (stop func(), err error) {
	key, err := loadCredentials(st.credentialsFile)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(st.objects, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of objects: %w", err)
	}
	store, sidecar, err := metadataStore(st)
	if err != nil {
		return nil, err
	}
	// The backend makes the folder its working directory. Every other path of
	// this process is absolute for that reason.
	backend, err := posix.New(st.objects, store, posix.PosixOpts{SideCarDir: sidecar})
	if err != nil {
		return nil, fmt.Errorf("open the folder of objects: %w", err)
	}

	// Its own context: Temporal's workers are stopped before their store is.
	gatewayCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(gatewayCtx, backend, &embedgw.Config{
			RootUserAccess:    key.accessKey,
			RootUserSecret:    key.secretKey,
			IAMService:        newSoleAccount(key),
			Region:            region,
			Ports:             []string{o.s3Address()},
			MaxConnections:    maxS3Connections,
			MaxRequests:       maxS3Connections,
			MultipartMaxParts: 10000,
			KeepAlive:         true,
			Quiet:             true,
		})
	}()
	finished := make(chan struct{})
	if err := waitForListener(ctx, o.s3Address(), ended); err != nil {
		cancel()
		return nil, fmt.Errorf("start the S3 server: %w", err)
	}
	go func() {
		defer close(finished)
		err := <-ended
		if gatewayCtx.Err() == nil {
			failed <- fmt.Errorf("the S3 server ended by itself: %w", err)
		}
	}()
	stop = func() {
		cancel()
		<-finished
	}
	if err := makeBucket(ctx, o, key); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// soleAccount is the account service of a server with one key. It answers an
// unknown access key with 403 InvalidAccessKeyId, as S3 does; the gateway's own
// says 404, which a client takes for a missing object.
type soleAccount struct {
	auth.IAMService
	accessKey string
}

func newSoleAccount(key credentials) soleAccount {
	root := auth.Account{Access: key.accessKey, Secret: key.secretKey, Role: auth.RoleAdmin}
	return soleAccount{auth.NewIAMServiceSingle(root), key.accessKey}
}

func (s soleAccount) GetUserAccount(access string) (auth.Account, error) {
	if access != s.accessKey {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return s.IAMService.GetUserAccount(access)
}

// metadataStore keeps ETags and checksums beside the objects in extended
// attributes, and in a folder of their own where the file system has none.
func metadataStore(st *state) (store meta.MetadataStorer, sidecar string, err error) {
	if err := (meta.XattrMeta{}).Test(st.objects); err == nil {
		return meta.XattrMeta{}, "", nil
	}
	if err := os.MkdirAll(st.objectMetadata, 0o700); err != nil {
		return nil, "", fmt.Errorf("make the folder of object metadata: %w", err)
	}
	files, err := meta.NewSideCar(st.objectMetadata)
	if err != nil {
		return nil, "", fmt.Errorf("open the folder of object metadata: %w", err)
	}
	return files, st.objectMetadata, nil
}

// waitForListener returns when address accepts connections, or with the error
// of a server that ended instead.
func waitForListener(ctx context.Context, address string, ended <-chan error) error {
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return fmt.Errorf("listen on %s: %w", address, err)
		case <-retry.C:
		}
	}
}

func makeBucket(ctx context.Context, o *options, key credentials) error {
	client := s3.New(s3.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://" + o.s3Address()),
		UsePathStyle: true,
		Credentials:  awscredentials.NewStaticCredentialsProvider(key.accessKey, key.secretKey, ""),
	})
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &o.bucket})
	if _, ok := errors.AsType[*s3types.BucketAlreadyOwnedByYou](err); ok {
		return nil
	}
	if _, ok := errors.AsType[*s3types.BucketAlreadyExists](err); ok {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", o.bucket, err)
	}
	return nil
}
