package raftlog

import (
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/stratadb/strata/internal/base"
)

var errInjected = errors.New("injected")

// TestFailedSyncIsFinal: after one failed write or sync every call fails, also
// when the disk would work again.
func TestFailedSyncIsFinal(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileSyncData, errorfs.OpFileWriteAt} {
		var on bool
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if on && op.Kind == kind {
				return errInjected
			}
			return nil
		}))
		o := testOptions(fs)
		var fatal []error
		o.OnFatal = func(err error) { fatal = append(fatal, err) }
		l := mustOpen(t, o)
		must(t, l.Append(Write{Range: 1, Entries: entries(1, 1, 1, 10)}))
		must(t, l.Flush())
		on = true
		must(t, l.Append(Write{Range: 1, Entries: entries(2, 1, 1, 10)}))
		if err := l.Flush(); !errors.Is(err, errInjected) {
			t.Fatalf("flush: %v", err)
		}
		on = false
		for name, err := range map[string]error{
			"flush": l.Flush(), "err": l.Err(),
			"append": l.Append(Write{Range: 1, Entries: entries(3, 1, 1, 10)}),
			"remove": l.Remove(1), "release": l.ReleaseLifecycle(1),
		} {
			if !errors.Is(err, errInjected) {
				t.Fatalf("%s after the failure: %v", name, err)
			}
		}
		if len(fatal) != 1 {
			t.Fatalf("OnFatal was called %d times", len(fatal))
		}
		_ = l.Close()
	}
}

// smallDisk is a file system with room for a number of bytes. A file takes the
// room of its size; recycling takes none.
type smallDisk struct {
	vfs.FS
	mu   *sync.Mutex
	left *int64
}

func newSmallDisk(n int64) smallDisk {
	return smallDisk{FS: vfs.NewMem(), mu: &sync.Mutex{}, left: &n}
}

func (d smallDisk) add(n int64) { d.mu.Lock(); *d.left += n; d.mu.Unlock() }

func (d smallDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, o...)
	return smallFile{f, d}, err
}

func (d smallDisk) Remove(name string) error {
	info, err := d.FS.Stat(name)
	if err != nil {
		return err
	}
	d.add(info.Size())
	return d.FS.Remove(name)
}

type smallFile struct {
	vfs.File
	disk smallDisk
}

func (f smallFile) WriteAt(b []byte, off int64) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if grow := off + int64(len(b)) - info.Size(); grow > 0 {
		f.disk.mu.Lock()
		defer f.disk.mu.Unlock()
		if grow > *f.disk.left {
			return 0, syscall.ENOSPC
		}
		*f.disk.left -= grow
	}
	return f.File.WriteAt(b, off)
}

// TestDiskFull fills the disk: Append refuses, Flush never fails, everything
// accepted is there, compaction is let through and makes room.
func TestDiskFull(t *testing.T) {
	for _, inline := range []bool{true, false} {
		disk := newSmallDisk(300 << 10)
		o := testOptions(disk)
		o.Inline, o.Random = inline, nil
		o.OnFatal = func(err error) { t.Errorf("fatal: %v", err) }
		l := mustOpen(t, o)
		var all []Entry
		for round := range 5 {
			var err error
			for err == nil {
				es := entries(base.LogIndex(len(all)+1), 1, 1, 1000)
				if err = l.Append(Write{Range: 1, Entries: es}); err == nil {
					all = append(all, es...)
				}
				must(t, l.Flush())
			}
			if !errors.Is(err, base.ErrDiskFull) {
				t.Fatalf("round %d: %v", round, err)
			}
			if h := l.Headroom(); h > 2000 {
				t.Fatalf("refused with %d bytes of headroom", h)
			}
			last := base.LogIndex(len(all))
			checkEntries(t, l, 1, all[l.Group(1).FirstIndex()-1:])
			must(t, l.Compact(1, last-20))
			must(t, l.Flush())
			if !inline {
				// Close waits for the background work.
				must(t, l.Close())
				l = mustOpen(t, o)
			}
			checkEntries(t, l, 1, all[last-20:])
		}
		if len(all) < 600 {
			t.Fatalf("only %d entries fitted in five rounds", len(all))
		}
		must(t, l.Close())
	}
}

// TestRefusals: what would make the log contradict itself is refused and changes nothing.
func TestRefusals(t *testing.T) {
	l := mustOpen(t, testOptions(vfs.NewMem()))
	es := entries(1, 1, 10, 10)
	must(t, l.Append(Write{Range: 1, Entries: es, Compact: 5}))
	for name, w := range map[string]Write{
		"gap":          {Range: 1, Entries: entries(12, 1, 1, 1)},
		"compacted":    {Range: 1, Entries: entries(5, 1, 1, 1)},
		"hole inside":  {Range: 1, Entries: append(entries(11, 1, 1, 1), entries(13, 1, 1, 1)...)},
		"commit":       {Range: 1, HardState: &HardState{Commit: 11}},
		"compaction":   {Range: 1, Compact: 11},
		"old snapshot": {Range: 1, Snapshot: &Mark{Index: 4}},
		"empty":        {Range: 2, Entries: entries(2, 1, 1, 1)},
	} {
		if err := l.Append(w); err == nil || !errors.HasAssertionFailure(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkEntries(t, l, 1, es[5:])
	g := l.Group(1)
	if _, err := g.Term(4); !errors.Is(err, ErrCompacted) {
		t.Errorf("term below the mark: %v", err)
	}
	if _, err := g.Term(11); !errors.Is(err, ErrUnavailable) {
		t.Errorf("term above: %v", err)
	}
	if term, err := g.Term(5); err != nil || term != 1 {
		t.Errorf("term of the mark: %d %v", term, err)
	}
	if _, err := g.Entries(nil, 5, 7, 1); !errors.Is(err, ErrCompacted) {
		t.Errorf("entries below the mark: %v", err)
	}
	if got, err := g.Entries(nil, 6, 11, 1); err != nil || len(got) != 1 {
		t.Errorf("at least one entry: %d %v", len(got), err)
	}
	must(t, l.Close())
	if err := l.Append(Write{Range: 1}); !errors.Is(err, base.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

// TestOpenRefusals: a missing segment, another store's log, a newer format.
func TestOpenRefusals(t *testing.T) {
	fs := vfs.NewMem()
	o := testOptions(fs)
	l := mustOpen(t, o)
	must(t, l.Append(Write{Range: 1, Entries: entries(1, 1, 100, 1500)}))
	must(t, l.Close())
	files := readAll(t, fs)
	for name := range files {
		seq, _ := parseName(name, segmentSuffix)
		o.FS = writeAll(t, files)
		must(t, o.FS.Remove("log/"+name))
		_, err := Open(o)
		if unused := len(strings.Trim(string(files[name][dataStart:]), "\x00")) == 0; unused {
			if err != nil {
				t.Errorf("without the unused segment %d: %v", seq, err)
			}
		} else if !errors.Is(err, base.ErrCorruption) {
			t.Errorf("without segment %d: %v", seq, err)
		}
	}
	o.FS = writeAll(t, files)
	o.StoreID = base.StoreID{9}
	if _, err := Open(o); err == nil || errors.Is(err, base.ErrCorruption) {
		t.Errorf("another store: %v", err)
	}
	o.FS, o.ErrorIfMissing = vfs.NewMem(), true
	if _, err := Open(o); !errors.Is(err, ErrMissing) {
		t.Errorf("no log: %v", err)
	}
}

// TestConcurrent has appenders, readers and the background worker run together
// over segments that are recycled all the time.
func TestConcurrent(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.Inline, o.Random = false, nil
	l := mustOpen(t, o)
	var wg sync.WaitGroup
	for r := base.RangeID(1); r <= 8; r++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := base.LogIndex(1); i <= 150; i++ {
				w := Write{Range: r, Entries: entries(i, 1, 1, 500), HardState: &HardState{Term: 1, Commit: i}}
				if r > 1 && i > 20 {
					w.Compact = i - 20
				}
				if err := errors.CombineErrors(l.Append(w), l.Flush()); err != nil {
					t.Error(err)
					return
				}
				g := l.Group(r)
				if _, err := g.Entries(nil, g.FirstIndex(), g.LastIndex()+1, 1<<30); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	m := l.Metrics()
	must(t, l.Close())
	if m.Relocated == 0 || m.Segments > 20 {
		t.Errorf("nothing was recycled: %+v", m)
	}
	l = mustOpen(t, o)
	checkEntries(t, l, 1, entries(1, 1, 150, 500))
	checkEntries(t, l, 2, entries(131, 1, 20, 500))
	must(t, l.Close())
}
