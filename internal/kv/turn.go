package kv

import "github.com/stratadb/strata/internal/base"

// Turn is a place in the line of the nodes whose clients wait for something at a key. One
// goroutine uses it at a time.
type Turn interface {
	// Known is closed when whoever keeps the line knows of the place: who comes later, by
	// then, is behind it.
	Known() <-chan struct{}
	// Granted is closed when nobody is left who has waited since an earlier time. It is
	// another channel once the place has moved, or somebody has come who has waited for
	// longer.
	Granted() <-chan struct{}
	// Lost is closed when whoever kept the line keeps it no more: the place has to be taken
	// again.
	Lost() <-chan struct{}
	// Move makes the place that of who has waited since another time. Until whoever keeps
	// the line knows, nobody else has the turn. With the same time it asks whether the
	// line is still kept there.
	Move(since base.Stamp)
	// Leave gives the place up.
	Leave()
}

// TurnEngine is an engine of several nodes.
type TurnEngine interface {
	// Turn takes a place in the line at key of who has waited since a stamp.
	Turn(key []byte, since base.Stamp) Turn
	// Waited reports whether somebody is known to be in the line at key.
	Waited(key []byte) bool
}

// Turn takes a place in the line of the nodes at key, for who has waited since a stamp. It
// orders those who wait, and keeps nobody from anything.
func (db *DB) Turn(key []byte, since base.Stamp) Turn {
	if e, ok := db.engine.(TurnEngine); ok {
		return e.Turn(key, since)
	}
	return First
}

// Waited reports whether somebody is known to be in the line of the nodes at key.
func (db *DB) Waited(key []byte) bool {
	e, ok := db.engine.(TurnEngine)
	return ok && e.Waited(key)
}

// First is the turn of a node that has no others.
var First Turn = alone{}

type alone struct{}

var over = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (alone) Known() <-chan struct{}   { return over }
func (alone) Granted() <-chan struct{} { return over }
func (alone) Lost() <-chan struct{}    { return nil }
func (alone) Move(base.Stamp)          {}
func (alone) Leave()                   {}
