package auth

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Refusal is an entry of the log: calls that were refused for the same reason within a minute.
type Refusal struct {
	Count    int64
	Reason   Denial
	Context  string
	Object   string
	Username string
	Client   string
	ID       int64
	Created  time.Time
	Updated  time.Time
}

const (
	// logGrouping is how far apart refusals of an entry are at most.
	logGrouping = time.Minute
	// logLooked is how many entries are looked at for the one that a refusal belongs to.
	logLooked = 10
)

// Log keeps what was refused, the newest first. The zero value is ready.
type Log struct {
	counts [DeniedLogin + 1]atomic.Int64
	mu     struct {
		sync.Mutex
		entries []*Refusal
		next    int64
	}
}

// Add notes a refusal and keeps up to most entries.
func (l *Log) Add(r Refusal, now time.Time, most int) {
	l.counts[r.Reason].Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.mu.entries
	for i := range min(len(list), logLooked) {
		e := list[i]
		if e.Reason == r.Reason && e.Context == r.Context && e.Object == r.Object && e.Username == r.Username &&
			now.Sub(e.Updated).Abs() <= logGrouping {
			e.Count, e.Client, e.Updated = e.Count+1, r.Client, now
			copy(list[1:], list[:i])
			list[0] = e
			return
		}
	}
	r.Count, r.ID, r.Created, r.Updated = 1, l.mu.next, now, now
	l.mu.next++
	l.mu.entries = slices.Insert(list, 0, &r)
	l.trimLocked(most)
}

func (l *Log) trimLocked(most int) {
	if len(l.mu.entries) > most {
		clear(l.mu.entries[most:])
		l.mu.entries = l.mu.entries[:most]
	}
}

// Trim keeps up to most entries.
func (l *Log) Trim(most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimLocked(most)
}

// Entries are up to n of the newest entries.
func (l *Log) Entries(n int) []Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Refusal, max(0, min(n, len(l.mu.entries))))
	for i := range list {
		list[i] = *l.mu.entries[i]
	}
	return list
}

// Reset forgets all entries.
func (l *Log) Reset() { l.Trim(0) }

// Refused is how many calls were refused for a reason.
func (l *Log) Refused(reason Denial) int64 { return l.counts[reason].Load() }
