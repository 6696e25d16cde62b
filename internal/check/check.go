package check

import (
	"fmt"
	"log/slog"
	"syscall"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/storage/identity"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// ErrNotAStore: the directory does not exist or holds no store.
var ErrNotAStore = errors.New("no store in this directory")

// ErrInUse: a process has the store open.
var ErrInUse = errors.New("the store is in use")

// Problem is one contradiction. Where names the file, the range or the area.
type Problem struct {
	Where  string `json:"where"`
	Detail string `json:"detail"`
}

// Database counts what a Redis database holds. Its number is the one that clients
// select.
type Database struct {
	Namespace uint64 `json:"namespace"`
	Number    uint8  `json:"database"`
	Keys      int64  `json:"keys"`
	Expiring  int64  `json:"expiring"`
	Elements  int64  `json:"elements"`
}

// Report is what a check found.
type Report struct {
	Dir    string `json:"dir"`
	Store  string `json:"store"`
	Format int    `json:"format"`

	LogSegments  int   `json:"log_segments"`
	LogRecords   int64 `json:"log_records"`
	LogLiveBytes int64 `json:"log_live_bytes"`
	// LogTorn says that the log ends in an unfinished write, as after a crash.
	LogTorn bool `json:"log_torn"`

	Ranges    int   `json:"ranges"`
	StateKeys int64 `json:"state_keys"`
	// Copies are the store's replicas, by range.
	Copies []store.Copy `json:"copies,omitempty"`
	// Keys is how many keys a restart finds: state and log together.
	Keys      int64      `json:"keys"`
	ZMapKeys  int64      `json:"zmap_keys"`
	Databases []Database `json:"databases"`

	// Skipped names the steps that were not possible.
	Skipped  []string  `json:"skipped,omitempty"`
	Problems []Problem `json:"problems"`
}

// ProblemsMax bounds the problems of a report.
const ProblemsMax = 1000

func (r *Report) problem(where, format string, args ...any) {
	if len(r.Problems) < ProblemsMax {
		r.Problems = append(r.Problems, Problem{where, fmt.Sprintf(format, args...)})
	}
}

// Options of a check. Dir is required.
type Options struct {
	FS  vfs.FS
	Dir string
	// Step is told what begins. Optional.
	Step func(name string)
	Log  *slog.Logger
}

// Run checks a store. The error says why the check could not be made; damage is
// in the report.
func Run(o Options) (_ Report, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := Report{Dir: o.Dir, Databases: []Database{}, Problems: []Problem{}}
	there, err := looksLikeStore(o.FS, o.Dir)
	if err != nil {
		return r, err
	}
	if !there {
		return r, errors.Wrap(ErrNotAStore, o.Dir)
	}
	lock, err := identity.Lock(o.FS, o.Dir)
	switch {
	case errors.Is(err, syscall.EROFS): // nobody can have it open for writing
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES):
		return r, errors.Mark(err, ErrInUse)
	case err != nil:
		return r, err
	default:
		defer func() { err = errors.CombineErrors(err, lock.Close()) }()
	}
	c := checker{o: o, r: &r, view: newOverlay(o.FS), databases: map[keyspace.NamespaceID]catalog.Databases{}}
	c.run()
	return r, nil
}

// looksLikeStore keeps the check from making a lock file in a foreign directory.
func looksLikeStore(fs vfs.FS, dir string) (bool, error) {
	for _, name := range []string{identity.FileName, "log", "state"} {
		if _, err := fs.Stat(fs.PathJoin(dir, name)); err == nil {
			return true, nil
		} else if !oserror.IsNotExist(err) {
			return false, errors.Wrap(err, "looking for a store")
		}
	}
	return false, nil
}

type checker struct {
	o    Options
	r    *Report
	view *overlay
	// databases says where swapped databases are; it is known before they come.
	databases map[keyspace.NamespaceID]catalog.Databases
}

func (c *checker) path(name string) string { return c.o.FS.PathJoin(c.o.Dir, name) }

// run makes the steps in order. A step whose ground is damaged is skipped.
func (c *checker) run() {
	c.o.Step("identity")
	ok := c.identity()
	c.o.Step("log")
	ok = c.log() && ok
	c.o.Step("state")
	ok = c.state() && ok
	if !ok {
		c.r.Skipped = append(c.r.Skipped, "restart", "keys")
		return
	}
	c.o.Step("keys")
	c.restart()
}

func (c *checker) identity() bool {
	id, err := identity.Load(c.o.FS, c.o.Dir)
	if err != nil {
		c.r.problem(c.path(identity.FileName), "%v", err)
		return false
	}
	c.r.Store, c.r.Format = id.Store.String(), id.Format
	return true
}

func (c *checker) log() bool {
	sum, err := raftlog.Verify(c.o.FS, c.path("log"), nil)
	if err != nil {
		where := c.path("log")
		var damage *raftlog.CorruptionError
		if errors.As(err, &damage) {
			where = damage.File
		}
		c.r.problem(where, "%v", err)
		return false
	}
	c.r.LogSegments, c.r.LogRecords, c.r.LogLiveBytes, c.r.LogTorn = sum.Segments, sum.Records, sum.Live, sum.Torn
	if store := sum.Store.String(); c.r.Store != "" && store != c.r.Store {
		c.r.problem(c.path("log"), "the log belongs to store %s, the directory to %s", store, c.r.Store)
		return false
	}
	return true
}

func (c *checker) state() (ok bool) {
	where := c.path("state")
	if _, err := c.o.FS.Stat(where); err != nil {
		c.r.problem(where, "%v", err)
		return false
	}
	before := len(c.r.Problems)
	state, err := lsm.Open(lsm.Options{FS: c.view, Dir: where, ErrorIfMissing: true, ReadOnly: true, Logger: c.o.Log,
		OnFatal: func(err error) { c.o.Log.Error("state", "error", err) }})
	if err != nil {
		c.r.problem(where, "%v", err)
		return false
	}
	defer func() {
		if err := state.Close(); err != nil {
			c.r.problem(where, "%v", err)
		}
		ok = len(c.r.Problems) == before
	}()
	if c.r.StateKeys, err = state.Check(); err != nil {
		c.r.problem(where, "%v", err)
	}
	if err := state.EachRangeState(false, func(id base.RangeID, st lsm.RangeState) error {
		c.r.Ranges++
		d, err := base.DecodeRangeDescriptor(st.Payload)
		switch {
		case err != nil:
			c.r.problem(where, "range %d: %v", id, err)
		case d.ID == id && len(d.Replicas) == 0 && d.Span.Empty():
			c.r.Ranges-- // the tombstone of a replica that was removed
		case d.ID != id || len(d.Replicas) == 0:
			c.r.problem(where, "range %d is described as range %d with %d replicas", id, d.ID, len(d.Replicas))
		}
		return nil
	}); err != nil {
		c.r.problem(where, "%v", err)
	}
	return true
}

// unread says why the keys cannot be read here; empty if they can. Which part of a
// copy's log counts is only known together with the other copies.
func unread(st *store.Store) string {
	replicas := st.Replicas()
	if len(replicas) == 0 {
		return "keys (the store holds no range yet)"
	}
	for _, r := range replicas {
		if d := r.Descriptor(); len(d.Replicas) > 1 {
			return fmt.Sprintf("keys (this is one of %d copies of range %d: a leader must say what of its log counts)", len(d.Replicas), d.ID)
		}
	}
	return ""
}

// healsMax is how many steps a store may need to end the merges that were under way.
const healsMax = 16

// restart starts the store on the view and walks over what a client would see.
func (c *checker) restart() {
	var fatal error
	st, err := store.Open(store.Options{FS: c.view, Dir: c.o.Dir, Manual: true, Log: c.o.Log,
		OnFatal: func(err error) { fatal = errors.CombineErrors(fatal, err) }})
	if err == nil {
		c.r.Copies, err = st.Copies()
	}
	if err == nil {
		err = errors.CombineErrors(st.Step(), fatal)
	}
	for n := 0; err == nil && n < healsMax && len(st.Frozen()) > 0; n++ { // a merge was interrupted
		st.Heal()
		err = errors.CombineErrors(st.Step(), fatal)
	}
	if err != nil {
		c.r.problem(c.o.Dir, "a restart fails: %v", err)
		c.r.Skipped = append(c.r.Skipped, "keys")
		return
	}
	// Closing the store writes to the view, which is thrown away.
	defer func() {
		if err := st.Close(); err != nil {
			c.r.problem(c.o.Dir, "stopping fails: %v", err)
		}
	}()
	switch why := unread(st); {
	case why != "":
		c.r.Skipped = append(c.r.Skipped, why)
	default:
		if err := c.keys(st); err != nil {
			c.r.problem(c.o.Dir, "reading the keys: %v", err)
		}
	}
	if fatal != nil {
		c.r.problem(c.o.Dir, "%v", fatal)
	}
}
