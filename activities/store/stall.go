package store

import (
	"context"
	"net"
	"time"

	"rpo/schemas"
)

// rereads is how often bytes that are not those of their record are read again.
// They may have been damaged on their way, which is not for ever; bytes that are
// wrong each time are, and CorruptData is never tried again by anybody else.
const rereads = 2

// reread calls read until what it reads is not corrupt, at most 1 + rereads times.
func reread(ctx context.Context, read func() error) error {
	for i := 0; ; i++ {
		err := read()
		switch {
		case err == nil || schemas.TypeOf(err) != schemas.CorruptData || ctx.Err() != nil:
			return err
		case i == rereads:
			return schemas.Errorf(schemas.CorruptData, "%w; it was read %d times", err, i+1)
		}
	}
}

// moving is a connection whose reads and writes fail once nothing has moved on it
// for limit, in either direction: a peer that keeps a connection open and says
// nothing would hold a worker for ever. What moves slowly may take as long as it
// takes.
type moving struct {
	net.Conn
	limit time.Duration
}

func (c moving) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write moves the deadline of reads, too: while a long body is sent the reader of
// the answer waits, and has no reason to give up.
func (c moving) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err == nil {
		err = c.SetReadDeadline(time.Now().Add(c.limit))
	}
	return n, err
}

// dialer makes the connections of another one moving.
func dialer(dial func(ctx context.Context, network, address string) (net.Conn, error), limit time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return moving{c, limit}, nil
	}
}
