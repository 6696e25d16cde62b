package scripting

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/script"
)

// Store is what a server knows of scripts. It is safe for concurrent use.
type Store struct {
	Engine *script.Engine
	now    func() time.Time
	spaces sync.Map // of *Libraries, by namespace
	mu     struct {
		sync.Mutex
		compiled map[[40]byte]*script.Library
		running  map[*Running]struct{}
	}
}

// NewStore makes a store. version is that of Redis which programs are told.
func NewStore(version string, now func() time.Time) *Store {
	st := &Store{Engine: script.NewEngine(version), now: now}
	st.mu.compiled = map[[40]byte]*script.Library{}
	st.mu.running = map[*Running]struct{}{}
	return st
}

// Libraries are those of a namespace in a state of the database.
type Libraries struct {
	Epoch uint64 // of the catalog
	All   []*script.Library
	by    map[string]*script.Library // by the names of functions
}

// Of is the library that has a function; nil if there is none.
func (l *Libraries) Of(function []byte) *script.Library { return l.by[string(function)] }

func (l *Libraries) named(name string) *script.Library {
	for _, lib := range l.All {
		if lib.Name == name {
			return lib
		}
	}
	return nil
}

// Functions is how many there are.
func (l *Libraries) Functions() int { return len(l.by) }

// add adds a library. An error says which function is there already.
func (l *Libraries) add(lib *script.Library) error {
	for i := range lib.Functions {
		if name := lib.Functions[i].Name; l.by[name] != nil {
			return command.Error("ERR Function " + name + " already exists")
		}
	}
	for i := range lib.Functions {
		l.by[lib.Functions[i].Name] = lib
	}
	l.All = append(l.All, lib)
	return nil
}

func (l *Libraries) remove(lib *script.Library) {
	kept := l.All[:0]
	for _, other := range l.All {
		if other != lib {
			kept = append(kept, other)
		}
	}
	l.All = kept
	for i := range lib.Functions {
		delete(l.by, lib.Functions[i].Name)
	}
}

// Cached are the libraries of a namespace, if they were read at an epoch or later; otherwise
// nil.
func (st *Store) Cached(ns keyspace.NamespaceID, epoch uint64) *Libraries {
	if l, ok := st.spaces.Load(ns); ok {
		if l := l.(*Libraries); l.Epoch == epoch {
			return l
		}
	}
	return nil
}

// Keep keeps libraries that were read in a state which is committed.
func (st *Store) Keep(ns keyspace.NamespaceID, l *Libraries) { st.spaces.Store(ns, l) }

// Read reads the libraries of a namespace. Where that would mean to run code, prompt makes
// it fail with base.ErrWouldWait.
func (st *Store) Read(t kv.Reader, ns keyspace.NamespaceID, prompt bool) (*Libraries, error) {
	l := &Libraries{by: map[string]*script.Library{}}
	var err error
	if l.Epoch, err = catalog.ReadEpoch(t); err != nil {
		return nil, err
	}
	rows, err := catalog.ReadLibraries(t, ns)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		lib, err := st.Compile(row.Code, prompt)
		if err != nil {
			return nil, err
		}
		if err := l.add(lib); err != nil {
			return nil, err
		}
	}
	return l, nil
}

const (
	// loadTime is how long a library's code may take to register its functions.
	loadTime = 500 * time.Millisecond
	// compiledMax is how many libraries are kept compiled.
	compiledMax = 2000
)

// Compile makes a library of its code, or finds it made.
func (st *Store) Compile(code string, prompt bool) (*script.Library, error) {
	digest := script.Digest([]byte(code))
	st.mu.Lock()
	lib := st.mu.compiled[digest]
	st.mu.Unlock()
	switch {
	case lib != nil:
		return lib, nil
	case prompt:
		return nil, base.ErrWouldWait
	}
	until := st.now().Add(loadTime)
	lib, err := st.Engine.Library(code, func() error {
		if st.now().After(until) {
			return script.Stop("ERR FUNCTION LOAD timeout")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.mu.compiled) >= compiledMax {
		clear(st.mu.compiled)
	}
	st.mu.compiled[digest] = lib
	return lib, nil
}

// Running is a script or function that runs for long.
type Running struct {
	Function bool
	Name     string
	Words    [][]byte // of the command
	since    time.Time
	killed   atomic.Bool
}

// enter makes it known that something runs for long, until leave.
func (st *Store) enter(r *Running) {
	r.since = st.now()
	st.mu.Lock()
	st.mu.running[r] = struct{}{}
	st.mu.Unlock()
}

// leave ends what enter began.
func (st *Store) leave(r *Running) {
	st.mu.Lock()
	delete(st.mu.running, r)
	st.mu.Unlock()
}

// Kill ends all scripts that run, or all functions, and reports whether there were any.
func (st *Store) Kill(function bool) (any bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for r := range st.mu.running {
		if r.Function == function {
			r.killed.Store(true)
			any = true
		}
	}
	return any
}

// longest is the function, or script, that has run longest.
func (st *Store) longest() (first *Running) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for r := range st.mu.running {
		if first == nil || r.since.Before(first.since) {
			first = r
		}
	}
	return first
}
