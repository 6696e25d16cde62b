package raftlog

import (
	"bytes"
	"encoding/binary"
	"sort"

	"github.com/stratadb/strata/internal/base"
)

// LifecycleID names a lifecycle record until it is released.
type LifecycleID uint64

// LifecycleKind says what step a lifecycle record describes. The numbers are on
// disk; the payload is the caller's.
type LifecycleKind uint8

// The steps of a range that touch both the log and the state.
const (
	LifecycleCreate   LifecycleKind = 1
	LifecycleDestroy  LifecycleKind = 2
	LifecycleSplit    LifecycleKind = 3
	LifecycleMerge    LifecycleKind = 4
	LifecycleSnapshot LifecycleKind = 5
)

// LifecycleRecord is a step that was begun and not released.
type LifecycleRecord struct {
	ID      LifecycleID
	Range   base.RangeID
	Kind    LifecycleKind
	Payload []byte
}

type lifecycle struct {
	LifecycleRecord
	at location
}

// AppendLifecycle adds a record that every open returns, in order, until it is
// released. It is durable after the next Flush.
func (l *Log) AppendLifecycle(r base.RangeID, kind LifecycleKind, payload []byte) (LifecycleID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// An entry of the same length needs more room.
	room := Write{Range: r, Entries: []Entry{{Data: payload}}}
	if err := l.reserveRoomLocked(&room); err != nil {
		return 0, err
	}
	rec := LifecycleRecord{ID: l.mu.nextID, Range: r, Kind: kind, Payload: bytes.Clone(payload)}
	l.mu.addLifecycle(rec, l.putLifecycleLocked(&rec))
	return rec.ID, nil
}

func (l *Log) putLifecycleLocked(rec *LifecycleRecord) location {
	var fixed [lifecycleFixedLen]byte
	binary.LittleEndian.PutUint64(fixed[0:], uint64(rec.Range))
	binary.LittleEndian.PutUint64(fixed[8:], uint64(rec.ID))
	fixed[16] = byte(rec.Kind)
	seg, _ := l.putLocked(recLifecycle, fixed[:], rec.Payload)
	return location{seg: seg.seq, len: recordLen(lifecycleFixedLen + len(rec.Payload))}
}

// ReleaseLifecycle drops a record whose step is durable everywhere.
func (l *Log) ReleaseLifecycle(id LifecycleID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reserveRoomLocked(&Write{}); err != nil {
		return err
	}
	if _, ok := l.mu.findLifecycle(id); !ok {
		return nil
	}
	var fixed [8]byte
	binary.LittleEndian.PutUint64(fixed[:], uint64(id))
	l.putLocked(recRelease, fixed[:], nil)
	l.mu.releaseLifecycle(id)
	return nil
}

// Lifecycles are the records that are not released, in the order of their ids.
func (l *Log) Lifecycles() []LifecycleRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	recs := make([]LifecycleRecord, 0, len(l.mu.lifecycles))
	for i := range l.mu.lifecycles {
		recs = append(recs, l.mu.lifecycles[i].LifecycleRecord)
	}
	return recs
}

func (t *table) findLifecycle(id LifecycleID) (i int, ok bool) {
	i = sort.Search(len(t.lifecycles), func(i int) bool { return t.lifecycles[i].ID >= id })
	return i, i < len(t.lifecycles) && t.lifecycles[i].ID == id
}

// addLifecycle adds a record or, when its id is known, notes that it has moved.
func (t *table) addLifecycle(rec LifecycleRecord, at location) {
	t.nextID = max(t.nextID, rec.ID+1)
	i, ok := t.findLifecycle(rec.ID)
	if ok {
		old := &t.lifecycles[i]
		t.dropLive(old.at.seg, old.Range, old.at.len)
		old.at = at
	} else {
		t.lifecycles = append(t.lifecycles, lifecycle{})
		copy(t.lifecycles[i+1:], t.lifecycles[i:])
		t.lifecycles[i] = lifecycle{LifecycleRecord: rec, at: at}
	}
	t.addLive(at.seg, rec.Range, at.len)
}

func (t *table) releaseLifecycle(id LifecycleID) {
	t.nextID = max(t.nextID, id+1)
	i, ok := t.findLifecycle(id)
	if !ok {
		return // the record's segment is already gone
	}
	lc := t.lifecycles[i]
	t.dropLive(lc.at.seg, lc.Range, lc.at.len)
	t.lifecycles = append(t.lifecycles[:i], t.lifecycles[i+1:]...)
}
