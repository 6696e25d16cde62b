package base

// Change is a write that is committed, as those are told who follow what happens in a part of
// the keyspace.
type Change struct {
	// Key is the row that stands for what was written; nil means anything.
	Key []byte
	// Origin is who wrote it, as far as that is known; zero: it is not.
	Origin uint64
}
