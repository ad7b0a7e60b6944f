package store

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestAConnectionFailsOnceNothingMovesOnItAndNotBefore(t *testing.T) {
	const limit = time.Minute
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c, err := dialer(func(context.Context, string, string) (net.Conn, error) { return near, nil }, limit)(t.Context(), "tcp", "s3")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Who waits for the answer begins to read before the body is sent.
		read := make(chan error)
		receive := func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}
		go receive()
		// A body that takes twenty times as long as nothing may move.
		go func() {
			for range 20 {
				time.Sleep(limit - time.Second)
				io.ReadFull(far, make([]byte, 10))
			}
			time.Sleep(limit - time.Second)
			far.Write([]byte("a"))
		}()
		for range 20 {
			if _, err := c.Write(make([]byte, 10)); err != nil {
				t.Fatalf("a slow upload: %v", err)
			}
		}
		if err := <-read; err != nil {
			t.Fatalf("the answer to a slow upload: %v", err)
		}
		began := time.Now()
		go receive()
		if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != limit {
			t.Errorf("a silent server: %v after %s", err, time.Since(began))
		}
		began = time.Now()
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != limit {
			t.Errorf("a server that takes nothing: %v after %s", err, time.Since(began))
		}
	})
}
