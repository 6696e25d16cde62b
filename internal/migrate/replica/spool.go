package replica

import (
	"io"
	"sync"
	"time"
)

// spoolKeptBytes is how long an empty spool's file may be.
const spoolKeptBytes = 64 << 20

// File is one that nobody else knows.
type File interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Close() error
}

// spool is a queue of bytes in a file without a name, between one who writes and one who reads.
type spool struct {
	mu struct {
		sync.Mutex
		more       sync.Cond
		head, tail int64 // of what is in it, in the file
		err        error // what ended it
		emptyAt    time.Time
	}
	file File
}

func newSpool(f File) *spool {
	s := &spool{file: f}
	s.mu.more.L = &s.mu
	s.mu.emptyAt = time.Now()
	return s
}

func (s *spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.head == s.mu.tail {
		s.mu.emptyAt = time.Now()
	}
	n, err := s.file.WriteAt(b, s.mu.tail)
	s.mu.tail += int64(n)
	s.mu.more.Signal()
	return n, err
}

// Read waits until there is something, or the spool was ended and is empty.
func (s *spool) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.mu.head == s.mu.tail {
		if s.mu.err != nil {
			return 0, s.mu.err
		}
		s.mu.more.Wait()
	}
	n, err := s.file.ReadAt(b[:min(int64(len(b)), s.mu.tail-s.mu.head)], s.mu.head)
	s.mu.head += int64(n)
	if s.mu.head == s.mu.tail && s.mu.tail > spoolKeptBytes {
		s.mu.head, s.mu.tail = 0, 0
		if err == nil {
			err = s.file.Truncate(0)
		}
	}
	if err == io.EOF && n > 0 {
		err = nil
	}
	return n, err
}

// end ends it: who reads gets what is left, and then err.
func (s *spool) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err == nil {
		s.mu.err = err
	}
	s.mu.more.Signal()
}

// waiting is how many bytes are in it, and since when there were some.
func (s *spool) waiting() (bytes int64, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.tail - s.mu.head, s.mu.emptyAt
}

func (s *spool) close() { _ = s.file.Close() }
