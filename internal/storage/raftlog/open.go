package raftlog

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// Open opens the log in o.Dir or makes a new one. A torn tail is cut; damage
// that is not one gives a *CorruptionError, and then nothing on disk has changed.
func Open(o Options) (_ *Log, err error) {
	o = o.withDefaults()
	if o.SegmentBytes > 1<<32 || o.FirstSegmentBytes < sizeFor(4<<10) {
		return nil, errors.AssertionFailedf("raftlog: segments of %d and %d bytes", o.FirstSegmentBytes, o.SegmentBytes)
	}
	files, err := listDir(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if len(files.segs) == 0 && o.ErrorIfMissing {
		return nil, errors.Wrap(ErrMissing, o.Dir)
	}
	l := &Log{opts: o}
	defer func() {
		if err != nil {
			l.closeFiles(files.segs)
		}
	}()
	if err := openSegments(o.FS, files.segs, &o.StoreID); err != nil {
		return nil, err
	}
	var rec *recovered
	if len(files.segs) > 0 {
		if rec, err = recoverLog(files.segs); err != nil {
			return nil, err
		}
	}
	if err := inspect(o.Inspect, rec); err != nil {
		return nil, err
	}
	// From here on the disk is changed.
	l.init()
	if l.dir, err = makeDir(o.FS, o.Dir); err != nil {
		return nil, err
	}
	for _, path := range files.temps {
		if err := o.FS.Remove(path); err != nil && !oserror.IsNotExist(err) {
			return nil, classify(err, "removing an unfinished segment")
		}
	}
	l.mu.spares = files.spares
	if rec == nil {
		err = l.create()
	} else {
		err = l.resume(rec)
		files.segs = l.mu.segs
	}
	if err != nil {
		return nil, err
	}
	l.worker.start(l)
	return l, nil
}

func inspect(see func(map[base.RangeID]base.LogIndex) error, rec *recovered) error {
	if see == nil || rec == nil {
		return nil
	}
	last := map[base.RangeID]base.LogIndex{}
	for id, g := range rec.groups {
		last[id] = g.last()
	}
	return see(last)
}

func (l *Log) init() {
	for i := range l.mu.flushed {
		l.mu.flushed[i] = sync.NewCond(&l.mu)
	}
	l.mu.prepared = sync.NewCond(&l.mu)
	l.mu.released = sync.NewCond(&l.mu)
	l.mu.pending, l.mu.writing = &flushBuffer{}, &flushBuffer{}
	l.mu.table = newTable(nil)
	l.mu.cache.budget = l.opts.CacheBytes
}

// create makes the first segment of a new log.
func (l *Log) create() error {
	l.mu.nextSeq, l.mu.flush, l.mu.oldest = 1, 1, 1
	if err := l.prepare(0); err != nil {
		return err
	}
	l.mu.Lock()
	l.mu.active, l.mu.ready = l.mu.ready[0], nil
	l.beginLocked()
	l.putMarkRecordLocked()
	l.mu.Unlock()
	return l.flushPending()
}

// resume goes on behind the end of what was recovered. First the records of the
// last flush are written and synced once more: after a failed or missing sync,
// what this process could read may have been in the page cache only. Then a
// mark, alone in its flush, makes them followed by a later flush.
func (l *Log) resume(rec *recovered) error {
	end := rec.scan.end
	if err := rewriteFlush(&rec.scan); err != nil {
		return err
	}
	l.mu.table = rec.table
	l.mu.cache.budget = l.opts.CacheBytes
	segs := rec.scan.segs
	l.mu.active = segs[end.seg]
	l.mu.active.head = end.off
	l.mu.nextSeq = l.mu.active.seq + 1
	l.mu.chain = rec.scan.chain
	l.mu.oldest = max(rec.oldest, segs[0].seq)
	l.mu.flush = rec.scan.nextFlush()
	l.mu.durable = l.mu.flush - 1
	// Segments behind the end hold nothing, or parts of a flush that is cut:
	// they are prepared again, with new seeds.
	unused := segs[end.seg+1:]
	l.mu.segs = slices.Clone(segs[:end.seg+1])
	for i := len(unused) - 1; i >= 0; i-- {
		spare, err := l.retire(unused[i], len(l.mu.spares) < maxSpares)
		if err != nil {
			return err
		}
		if spare != "" {
			l.mu.spares = append(l.mu.spares, spare)
		}
	}
	l.mu.Lock()
	// The first record of a new log, or that of a segment whose predecessor is
	// sealed, is what was torn.
	fresh := end.off == dataStart
	full := l.mu.active.room() < recordLen(markLen)
	l.mu.Unlock()
	if full {
		if err := l.prepare(0); err != nil {
			return err
		}
	}
	l.mu.Lock()
	if fresh {
		l.beginLocked()
	}
	l.putMarkRecordLocked()
	l.mu.Unlock()
	return l.flushPending()
}

// rewriteFlush writes the bytes of the last flush again where they are and syncs.
func rewriteFlush(s *scan) error {
	if s.records == 0 {
		return nil
	}
	for i := s.flushStart.seg; i <= s.end.seg; i++ {
		seg, from, to := s.segs[i], int64(dataStart), s.end.off
		if i == s.flushStart.seg {
			from = s.flushStart.off
		}
		if i < s.end.seg {
			to = seg.size
		}
		w := window{seg: seg}
		for from < to {
			b, err := w.at(from, int(min(to-from, readBytes)))
			if err != nil {
				return err
			}
			if len(b) == 0 {
				break
			}
			if _, err := seg.file.WriteAt(b, from); err != nil {
				return classify(err, "rewriting the last flush")
			}
			from += int64(len(b))
		}
		if err := seg.file.SyncData(); err != nil {
			return classify(err, "syncing the last flush")
		}
	}
	return nil
}

// dirFiles is the content of a log directory.
type dirFiles struct {
	segs          []*segment // ascending, contiguous
	spares, temps []string
}

func listDir(fs vfs.FS, dir string) (f dirFiles, err error) {
	names, err := fs.List(dir)
	if err != nil {
		if oserror.IsNotExist(err) {
			return f, nil
		}
		return f, classify(err, "listing the log directory")
	}
	slices.Sort(names)
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		if seq, ok := parseName(name, segmentSuffix); ok {
			f.segs = append(f.segs, &segment{seq: seq, path: path, head: dataStart, live: make(map[base.RangeID]int)})
		} else if _, ok := parseName(name, spareSuffix); ok {
			f.spares = append(f.spares, path)
		} else if strings.HasSuffix(name, tempSuffix) {
			f.temps = append(f.temps, path)
		}
	}
	slices.SortFunc(f.segs, func(a, b *segment) int { return cmp.Compare(a.seq, b.seq) })
	for i := 1; i < len(f.segs); i++ {
		if a, b := f.segs[i-1], f.segs[i]; b.seq != a.seq+1 {
			return f, &CorruptionError{File: a.path, Detail: fmt.Sprintf(
				"the next segment's file (%d) is missing, but a later one (%d) exists", a.seq+1, b.seq)}
		}
	}
	return f, nil
}

// openSegments opens the files and reads their headers; want, if not nil, is the
// store that they must belong to.
func openSegments(fs vfs.FS, segs []*segment, want *base.StoreID) error {
	for _, s := range segs {
		var err error
		if want == nil {
			s.file, err = fs.Open(s.path)
		} else {
			s.file, err = fs.OpenReadWrite(s.path, vfs.WriteCategoryUnspecified)
		}
		if err != nil {
			return classify(err, "opening a segment")
		}
		b := make([]byte, segmentHdrLen)
		n, err := s.file.ReadAt(b, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return classify(err, "reading a segment header")
		}
		store, err := decodeSegmentHeader(s, b[:n])
		if err != nil {
			return err
		}
		s.store = store
		if want != nil && store != *want {
			return errors.Newf("raftlog: %s belongs to store %s, not to %s", s.path, store, *want)
		}
	}
	return nil
}

// makeDir creates the directory, durably, and opens it.
func makeDir(fs vfs.FS, dir string) (vfs.File, error) {
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return nil, classify(err, "creating the log directory")
	}
	if parent := fs.PathDir(dir); parent != dir {
		p, err := fs.OpenDir(parent)
		if err != nil {
			return nil, classify(err, "opening the parent of the log directory")
		}
		err = p.Sync()
		_ = p.Close()
		if err != nil {
			return nil, classify(err, "syncing the parent of the log directory")
		}
	}
	d, err := fs.OpenDir(dir)
	return d, classify(err, "opening the log directory")
}

func (l *Log) closeFiles(segs []*segment) {
	for _, s := range segs {
		if s.file != nil {
			_ = s.file.Close()
			s.file = nil
		}
	}
	if l.dir != nil {
		_ = l.dir.Close()
	}
}

// Close flushes what is pending, with a mark behind it, and waits for the
// background work. The log must not be used by others any more.
func (l *Log) Close() error {
	l.worker.stop()
	l.mu.Lock()
	if l.mu.closed {
		l.mu.Unlock()
		return nil
	}
	failed := l.mu.err != nil
	l.mu.Unlock()
	var err error
	if !failed {
		err = l.closeCleanly()
	}
	l.mu.Lock()
	l.mu.closed = true
	l.mu.prepared.Broadcast()
	for l.mu.flushing {
		l.mu.flushed[l.mu.flush&1].Wait()
	}
	segs := l.mu.segs
	l.mu.Unlock()
	l.closeFiles(segs)
	return err
}

// closeCleanly makes the mark a flush of its own, so that everything before it
// is known to be complete.
func (l *Log) closeCleanly() error {
	if err := l.flushPending(); err != nil {
		return err
	}
	l.mu.Lock()
	full := l.mu.active.room() < recordLen(markLen) && len(l.mu.ready) == 0
	if !full {
		l.putMarkRecordLocked()
	}
	l.mu.Unlock()
	return l.flushPending()
}
