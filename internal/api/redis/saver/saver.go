// Package saver writes files of Redis for SAVE and BGSAVE: copies to take away, for what is
// acknowledged is on disk anyway. One is written at a time.
package saver

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/info"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rdb"
)

var (
	// ErrBusy: another file is being written.
	ErrBusy = errors.New("a file is being written")
	// ErrStopping: the server stops.
	ErrStopping = errors.New("the server stops")
)

const (
	firstName = "dump.rdb"
	nameBytes = 200
)

// Options are what a Saver works with.
type Options struct {
	DB    *kv.DB
	Model model.Options
	Log   *slog.Logger
	Now   func() time.Time
	// Dir is where the files are; it is made when the first one is written. Without one nothing
	// can be saved.
	Dir string
	// Version is what a file says of who wrote it.
	Version string
	// Stopping ends a file that is being written.
	Stopping <-chan struct{}
}

// Saver writes files. It is safe for concurrent use.
type Saver struct {
	o    Options
	name atomic.Pointer[string]
	mu   struct {
		sync.Mutex
		info.Saves
	}
}

// New makes a saver.
func New(o Options) *Saver {
	o.Model.Lookups = nil // nobody has asked for the keys
	s := &Saver{o: o}
	name := firstName
	s.name.Store(&name)
	s.mu.Saves = info.Saves{Last: o.Now(), OK: true, Took: -1}
	return s
}

// State is what INFO says.
func (s *Saver) State() info.Saves {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.Saves
}

// Name is dbfilename.
func (s *Saver) Name() string { return *s.name.Load() }

// Begin reserves the saver; the caller runs what it answers.
func (s *Saver) Begin(ns keyspace.NamespaceID, name string) (save func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.Since.IsZero() {
		return nil, ErrBusy
	}
	s.mu.Since = s.o.Now()
	return func() error { return s.save(ns, name) }, nil
}

func (s *Saver) save(ns keyspace.NamespaceID, name string) error {
	path := filepath.Join(s.o.Dir, name)
	saved, err := s.replace(ns, path)
	s.mu.Lock()
	now := s.o.Now()
	s.mu.Took, s.mu.Since, s.mu.OK = now.Sub(s.mu.Since), time.Time{}, err == nil
	if err == nil {
		s.mu.Last = now
		s.mu.Count++
		s.mu.Moments = saved.Moments
	}
	s.mu.Unlock()
	if err != nil {
		s.o.Log.Error("file not saved", slog.String("file", path), slog.Any("error", err))
		return err
	}
	s.o.Log.Info("file saved", slog.String("file", path), slog.String("holds", saved.String()))
	return nil
}

// replace writes a file beside the one that is there, and puts it in its place.
func (s *Saver) replace(ns keyspace.NamespaceID, path string) (saved rdb.Saved, err error) {
	if err := s.makeDir(); err != nil {
		return saved, err
	}
	old, _ := filepath.Glob(filepath.Join(s.o.Dir, "temp-*.rdb")) // of a process that was killed
	for _, left := range old {
		_ = os.Remove(left)
	}
	f, err := os.CreateTemp(s.o.Dir, "temp-*.rdb")
	if err != nil {
		return saved, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // it has another name then
	if saved, err = s.Write(ns, f, false); err == nil {
		err = f.Sync()
	}
	if err = errors.CombineErrors(err, f.Close()); err != nil {
		return saved, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return saved, err
	}
	return saved, syncDir(s.o.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.CombineErrors(d.Sync(), d.Close())
}

// Write writes a file of a namespace to f, or one of its functions only.
func (s *Saver) Write(ns keyspace.NamespaceID, f *os.File, functions bool) (rdb.Saved, error) {
	return rdb.Save(f, rdb.SaveOptions{
		Session: s.o.DB.NewSession(),
		Moment:  func() (base.Stamp, error) { return s.o.DB.ReadVersion(context.Background()) },
		Open: func(t kv.Txn) (rdb.State, error) {
			state, err := s.open(t, ns)
			if functions {
				state.Databases = nil
			}
			return state, err
		},
		Aux: []string{"redis-ver", s.o.Version, "redis-bits", strconv.Itoa(strconv.IntSize), "ctime", strconv.FormatInt(s.o.Now().Unix(), 10),
			"used-mem", "0", "aof-base", "0"},
		Stopped: func() error {
			select {
			case <-s.o.Stopping:
				return ErrStopping
			default:
				return nil
			}
		},
	})
}

func (s *Saver) open(t kv.Txn, ns keyspace.NamespaceID) (state rdb.State, err error) {
	where, err := catalog.ReadDatabases(t, ns)
	if err != nil {
		return state, err
	}
	for n := range uint8(model.Databases) {
		db, err := model.Open(ns, n, s.o.Model)
		if err != nil {
			return state, err
		}
		state.Databases = append(state.Databases, db.StoredAs(where.Physical(n)))
	}
	libraries, err := catalog.ReadLibraries(t, ns)
	for _, l := range libraries {
		state.Functions = append(state.Functions, l.Code)
	}
	return state, err
}

// Temporary is a file without a name, for what is sent.
func (s *Saver) Temporary() (*os.File, error) {
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.o.Dir, "sent-*.rdb")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// makeDir makes sure that there is a directory to write to.
func (s *Saver) makeDir() error {
	if s.o.Dir == "" {
		return errors.New("there is no directory for it")
	}
	return os.MkdirAll(s.o.Dir, 0o700)
}
