package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"go.temporal.io/server/common/headers"
)

// state is the folder of this process and what is held open in it.
type state struct {
	dbFile          string // empty: workflows live in memory
	objects         string // folder of the S3 server
	objectMetadata  string // folder used where the file system has no extended attributes
	credentialsFile string
	log             *os.File
	logFile         string // empty: standard error

	closers []io.Closer
}

// maxLogBytes is the size at which the log of earlier starts is put aside.
const maxLogBytes = 10 << 20

// openState makes the folder, takes the locks of what will run and opens the
// log. A lock lives as long as its process, however that ends, so that two
// servers never share a database or an object folder.
func openState(o *options) (*state, error) {
	s := &state{dbFile: o.dbFile, log: os.Stderr}
	if o.dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of --dir: %w", err)
	}
	s.objects = filepath.Join(o.dir, "s3")
	// The S3 backend refuses a name that begins with that of the objects' folder.
	s.objectMetadata = filepath.Join(o.dir, "object-metadata")
	s.credentialsFile = filepath.Join(o.dir, "credentials")
	s.logFile = filepath.Join(o.dir, "rpo-local.log")
	if s.dbFile == "" {
		s.dbFile = filepath.Join(o.dir, "temporal-"+headers.ServerVersion+".db")
	}
	if o.temporal {
		if err := s.lock(o.dir, "temporal"); err != nil {
			return nil, err
		}
	}
	if o.s3 {
		if err := s.lock(o.dir, "s3"); err != nil {
			s.close()
			return nil, err
		}
	}
	if info, err := os.Stat(s.logFile); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(s.logFile, s.logFile+".1"); err != nil {
			s.close()
			return nil, fmt.Errorf("put the old log aside: %w", err)
		}
	}
	f, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	s.log = f
	s.closers = append(s.closers, f)
	return s, nil
}

func (s *state) lock(dir, part string) error {
	f, err := os.OpenFile(filepath.Join(dir, part+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the lock of %s: %w", part, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s for %s: another rpo-local runs on this folder: stop it, or choose another --dir", dir, part)
		}
		return fmt.Errorf("lock %s for %s: %w", dir, part, err)
	}
	s.closers = append(s.closers, f)
	return nil
}

func (s *state) close() {
	for _, c := range s.closers {
		_ = c.Close()
	}
}
