package kv

import "github.com/stratadb/strata/internal/base"

// Turn is a place in the line of the nodes whose clients wait for something at a key.
type Turn interface {
	// Granted is closed when nobody is left who has waited since an earlier time.
	Granted() <-chan struct{}
	// Lost is closed when whoever kept the line keeps it no more: the place has to be taken
	// again.
	Lost() <-chan struct{}
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

func (alone) Granted() <-chan struct{} { return over }
func (alone) Lost() <-chan struct{}    { return nil }
func (alone) Leave()                   {}
