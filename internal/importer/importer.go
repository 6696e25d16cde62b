// Package importer copies the data of a Redis server, or of an RDB file, to a server that
// speaks its protocol.
//
// From a server it copies while that is in use: SCAN finds the keys, DUMP and RESTORE carry
// them, large ones in pieces. What is written meanwhile may or may not be copied; for an
// exact copy under load there is the proxy, which has the keys' locks. An import that was
// broken off goes on at the cursor that it had saved, if the server is still the same
// process; otherwise it begins again, and takes what is equal for copied.
//
// Follow copies exactly under load, too, as a replica does: everything as of a moment, and then each
// command in its order, once.
package importer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/migrate/transfer"
)

// Existing says what is done about keys that the target has already.
type Existing string

// What may be done.
const (
	Skip    Existing = "skip"
	Replace Existing = "replace"
	Fail    Existing = "fail"
)

// Options of an import.
type Options struct {
	From, To peer.Server
	// Databases are the numbers to copy; nil is all.
	Databases []int
	Existing  Existing
	// Workers copy at the same time; Batch is how many keys each asks for at once.
	Workers, Batch int
	// State keeps how far the import has come; it may be nil.
	State Store
	// Progress is called now and then.
	Progress func(p Progress)
	// Verify compares both sides behind the copy; VerifyOnly copies nothing.
	Verify, VerifyOnly bool
}

// Store keeps a small document.
type Store interface {
	// Load answers nil if there is none.
	Load() ([]byte, error)
	Save(b []byte) error
}

// Progress is how far an import has come.
type Progress struct {
	Phase   string
	Keys    int64 // that were looked at
	Total   int64 // about how many there are; 0 if nobody knows
	Bytes   int64 // that were copied
	Elapsed time.Duration
	// Commands were executed by who follows; Waiting is how many bytes have arrived beyond them,
	// and Behind for how long there have been some.
	Commands, Waiting int64
	Behind            time.Duration
}

// Summary is what came of an import.
type Summary struct {
	Copied, Skipped, Equal, Expired, Large, Functions int64
	Bytes                                             int64
	Verified, Different                               int64
	Commands                                          int64 // that were followed
	// Problems are the first keys that were not copied or are different, of so many.
	Problems []string
	Failed   int64
	Resumed  bool
}

// problemsMost bounds the problems that are told.
const problemsMost = 100

// ErrExists ends an import that was to fail where a key exists.
var ErrExists = errors.New("the key exists and differs")

// job is a page of keys.
type job struct {
	number int
	db     int
	keys   []string
	// cursor is where the database is read on behind the page.
	cursor string
}

// run is an import under way.
type run struct {
	Options
	begun time.Time
	// ends changes the time at which a key of a file ends; nil for who takes it as it is.
	ends func(at int64) int64

	mu    sync.Mutex
	sum   Summary
	seen  Progress
	state state
	saved time.Time
	pages map[int]job // that are done, in no order
	next  int         // the first page that is not
}

// state is the document in the store.
type state struct {
	RunID  string `json:"run_id"`
	From   string `json:"from"`
	Done   []int  `json:"done"` // databases
	DB     int    `json:"db"`
	Cursor string `json:"cursor"`
	// Large are the keys of which a part may have been copied.
	Large []string `json:"large,omitempty"`
	Ended bool     `json:"ended"`
}

// Run copies from a server.
func Run(ctx context.Context, o Options) (Summary, error) {
	r := &run{Options: o, begun: time.Now(), pages: map[int]job{}}
	from, err := peer.Dial(ctx, &o.From)
	if err != nil {
		return r.sum, errors.Wrap(err, "connecting to the source")
	}
	defer func() { _ = from.Close() }()
	if err := r.resume(from); err != nil {
		return r.sum, err
	}
	if !o.VerifyOnly {
		if err := r.functions(ctx, from); err != nil {
			return r.sum, err
		}
		if err := r.pass(ctx, from, "copying", r.copyPage); err != nil {
			return r.sum, err
		}
		r.state.Ended = true
		if err := r.save(true); err != nil {
			return r.sum, err
		}
	}
	if o.Verify || o.VerifyOnly {
		r.state = state{}
		r.Options.State = nil
		if err := r.pass(ctx, from, "verifying", r.verifyPage); err != nil {
			return r.sum, err
		}
	}
	return r.sum, nil
}

// resume reads the state, and begins anew if it is that of another server.
func (r *run) resume(from *peer.Conn) error {
	info, err := from.Do("INFO", "server")
	if err != nil {
		return err
	}
	id := ""
	for line := range strings.Lines(info.Text()) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			id = v
		}
	}
	fresh := state{RunID: id, From: r.From.Addr, DB: -1, Cursor: "0"}
	r.state = fresh
	if r.State == nil {
		return nil
	}
	b, err := r.State.Load()
	if err != nil || b == nil {
		return errors.Wrap(err, "reading the state")
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return errors.Wrap(err, "reading the state")
	}
	r.sum.Resumed = true
	if s.RunID == id && id != "" && s.From == r.From.Addr && !s.Ended {
		r.state = s
	}
	r.state.Large = s.Large
	return nil
}

// save writes the state, once a second or at once.
func (r *run) save(now bool) error {
	if r.State == nil || !now && time.Since(r.saved) < time.Second {
		return nil
	}
	r.saved = time.Now()
	b, err := json.Marshal(r.state)
	if err != nil {
		return err
	}
	return errors.Wrap(r.State.Save(b), "saving the state")
}

// ends are a worker's connections.
type ends struct {
	from, to transfer.Source
}

func (r *run) connect(ctx context.Context) (*ends, error) {
	from, err := peer.Dial(ctx, &r.From)
	if err != nil {
		return nil, errors.Wrap(err, "connecting to the source")
	}
	to, err := peer.Dial(ctx, &r.To)
	if err != nil {
		_ = from.Close()
		return nil, errors.Wrap(err, "connecting to the target")
	}
	return &ends{transfer.Source{Conn: from}, transfer.Source{Conn: to}}, nil
}

func (e *ends) close() {
	_ = e.from.Close()
	_ = e.to.Close()
}

func (e *ends) enter(db int) error {
	if err := e.from.Select(db); err != nil {
		return err
	}
	return e.to.Select(db)
}

// pass reads all keys and lets workers do something with each page of them.
func (r *run) pass(ctx context.Context, from *peer.Conn, phase string, do func(e *ends, j job) error) error {
	all, total, err := from.Databases(r.Databases)
	if err != nil {
		return err
	}
	r.mu.Lock()
	begun := r.state // which the workers change from now on
	begun.Done = slices.Clone(begun.Done)
	r.seen = Progress{Phase: phase, Total: total}
	r.pages, r.next = map[int]job{}, 0
	r.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range r.Workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			e, err := r.connect(ctx)
			if err != nil {
				cancel(err)
				return
			}
			defer e.close()
			stop := context.AfterFunc(ctx, e.close)
			defer stop()
			for j := range jobs {
				if err := e.enter(j.db); err != nil {
					cancel(err)
					return
				}
				if err := do(e, j); err != nil {
					cancel(err)
					return
				}
				if err := r.finish(j); err != nil {
					cancel(err)
					return
				}
			}
		}()
	}
	err = r.scan(ctx, from, all, &begun, jobs)
	close(jobs)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if saving := r.save(true); err == nil {
		err = saving
	}
	return err
}

// scan makes pages of the databases that were not done when it began.
func (r *run) scan(ctx context.Context, from *peer.Conn, all []int, begun *state, jobs chan<- job) error {
	number := 0
	for _, db := range all {
		if slices.Contains(begun.Done, db) {
			continue
		}
		cursor := "0"
		if begun.DB == db {
			cursor = begun.Cursor
		}
		if err := from.Select(db); err != nil {
			return err
		}
		for first := true; first || cursor != "0"; first = false {
			v, err := from.Do("SCAN", cursor, "COUNT", strconv.Itoa(r.Batch))
			if err == nil {
				err = v.Err()
			}
			if err != nil {
				return errors.Wrap(err, "SCAN")
			}
			if len(v.Array) != 2 {
				return errors.New("SCAN answered something else")
			}
			cursor = v.Array[0].Text()
			j := job{number: number, db: db, cursor: cursor}
			for _, k := range v.Array[1].Array {
				j.keys = append(j.keys, string(k.Str))
			}
			number++
			select {
			case jobs <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// finish notes that a page is done. The state is behind the pages before which none is open.
func (r *run) finish(j job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Keys += int64(len(j.keys))
	j.keys = nil
	r.pages[j.number] = j
	for {
		done, ok := r.pages[r.next]
		if !ok {
			break
		}
		delete(r.pages, r.next)
		r.next++
		r.state.DB, r.state.Cursor = done.db, done.cursor
		if done.cursor == "0" {
			r.state.Done, r.state.DB = append(r.state.Done, done.db), -1
		}
	}
	if r.Progress != nil {
		p := r.seen
		p.Bytes, p.Elapsed = r.sum.Bytes, time.Since(r.begun)
		r.Progress(p)
	}
	return r.save(false)
}

// count changes the summary.
func (r *run) count(change func(s *Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.sum)
}

func (r *run) problem(db int, key, what string) {
	r.count(func(s *Summary) {
		s.Failed++
		if len(s.Problems) < problemsMost {
			s.Problems = append(s.Problems, fmt.Sprintf("db %d %.100q: %s", db, key, what))
		}
	})
}
