package store

import (
	"context"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/raftlog"
	"github.com/stratadb/strata/internal/storage/rowcache"
)

const (
	// A restart may have to replay what the windows hold, and logShare of what they may
	// hold, at least logBytesMin, before the state is flushed to shorten the log.
	logShare    = 8
	logBytesMin = 64 << 20
	// diskCheckEvery is how often the free space is looked at.
	diskCheckEvery = 250 * time.Millisecond
	// reserveDefault is kept free, or an eighth of a small disk.
	reserveDefault = 256 << 20
	// headroomMin is the room in prepared log segments below which writes are
	// refused when the disk has no room either.
	headroomMin = 1 << 20
)

func (s *Store) wakeCompactor() {
	select {
	case s.flush <- struct{}{}:
	default:
	}
}

// compactor shortens the log whenever the state has become durable, and makes
// it durable when the log has grown long.
func (s *Store) compactor() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.flush:
		case <-tick.C:
			pays, err := s.flushPays(max(s.o.WindowBytes/logShare, logBytesMin))
			if pays {
				_, err = s.state.FlushAsync()
			}
			if err != nil {
				s.o.Log.Warn("flushing the state", "error", err)
			}
			continue
		}
		if err := s.compact(); err != nil && !errors.Is(err, base.ErrDiskFull) {
			s.o.Log.Warn("compacting the log", "error", err)
		}
	}
}

// flushPays reports whether a flush of the state would free so many bytes of the log, or
// anything where the disk has no room for more. What is in the windows does not count: a
// flush would not free it, only make small tables, and compactions of those.
func (s *Store) flushPays(bytes int64) (bool, error) {
	if s.log.Metrics().LiveBytes < bytes {
		return false, nil
	}
	if s.log.Starved() {
		return true, nil
	}
	frees := int64(0)
	err := s.state.EachRangeState(false, func(id base.RangeID, st lsm.RangeState) error {
		frees += s.log.Group(id).SizeTo(st.Applied)
		return nil
	})
	return frees >= bytes, err
}

// compact drops the log entries whose effects are durable in the state.
func (s *Store) compact() error {
	err := s.state.EachRangeState(true, func(id base.RangeID, st lsm.RangeState) error {
		// A snapshot that is being installed is in the state first.
		if st.Applied == 0 || s.log.Group(id).LastIndex() < st.Applied {
			return nil
		}
		return s.log.Compact(id, st.Applied)
	})
	if err != nil {
		return err
	}
	return s.log.Flush()
}

// Full reports that the store takes only what frees space: the disk has fallen
// below its reserve, or the log can grow no further and ahead bytes would leave too
// little of what it has for deletions.
func (s *Store) Full(ahead int64) bool {
	return s.full.Load() || s.log.Starved() && s.log.Headroom() < headroomMin+2*ahead
}

// every calls do at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// CheckDisk looks at the free space once.
func (s *Store) CheckDisk() {
	u, err := s.o.FS.GetDiskUsage(s.o.Dir)
	if err != nil {
		return // the file system cannot tell
	}
	reserve := s.o.ReserveBytes
	if reserve == 0 {
		reserve = min(reserveDefault, int64(u.TotalBytes/8))
	}
	// A log that found no room asks again only when something is appended, and while
	// writes are refused nothing is.
	var noRoom error
	if s.log.Starved() || s.log.Headroom() < headroomMin {
		noRoom = s.log.MakeRoom()
	}
	full := int64(u.AvailBytes) < reserve || s.log.Headroom() < headroomMin && noRoom != nil
	if s.full.Swap(full) != full {
		if full {
			s.o.Log.Warn("disk is full: only deletions are taken", "dir", s.o.Dir, "available", u.AvailBytes, "reserve", reserve)
		} else {
			s.o.Log.Info("disk has room again", "dir", s.o.Dir, "available", u.AvailBytes)
		}
	}
}

// WindowBytes is the memory of all windows.
func (s *Store) WindowBytes() int64 { return s.windows.Used() }

// Stats are the store's figures.
type Stats struct {
	Ranges map[base.RangeID]replica.Stats
	Log    raftlog.Metrics
	State  lsm.Metrics
	Rows   rowcache.Metrics
	Sleep  sleep.Figures
	Full   bool
}

// Stats takes the figures.
func (s *Store) Stats() Stats {
	st := Stats{Ranges: map[base.RangeID]replica.Stats{}, Log: s.log.Metrics(), State: s.state.Metrics(),
		Rows: s.rows.Metrics(), Full: s.Full(0)}
	if s.sleep != nil {
		st.Sleep = s.sleep.Figures()
	}
	for _, r := range s.Replicas() {
		id, _ := r.ID()
		st.Ranges[id] = r.Stats()
	}
	return st
}
