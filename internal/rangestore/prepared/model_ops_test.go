package prepared

// The operations of the schedules that random search finds rarely.

func keys(names ...string) (m keyMask) {
	for _, n := range names {
		m |= 1 << keyIndex([]byte(n))
	}
	return m
}

func newOp(name string, kind procKind, value uint8, reads, writes keyMask, behind int) proc {
	p := proc{kind: kind, behind: behind, attempts: 1, value: value, reads: reads, writes: writes}
	p.op.name = name
	return p
}

// undecidedLockPassed: T's C is issued below the stamp of a reader, who sees T's
// write to b1; somebody behind a later write saw that T had written nothing.
func undecidedLockPassed() []proc {
	ops := []proc{
		newOp("T", opTxn, 1, 0, keys("a1", "b1"), -1),
		newOp("S", opTxn, 2, keys("b1", "a2"), 0, -1),
		newOp("W", opWrite, 3, 0, keys("a2"), -1),
		newOp("L", opRead, 4, keys("a1"), 0, 2),
	}
	ops[3].asks = true
	return ops
}

func stampedWriteInFlight() []proc {
	return []proc{
		newOp("A", opWrite, 1, 0, keys("a1"), -1),
		newOp("S", opTxn, 2, keys("a1", "b1"), 0, -1),
		newOp("B", opWrite, 3, 0, keys("b1"), -1),
		newOp("L", opRead, 4, keys("a1"), 0, 2),
	}
}

func stampPrefetched() []proc {
	return []proc{
		newOp("O", opWrite, 1, 0, keys("a2"), -1),
		newOp("S", opTxn, 2, keys("a1", "b1"), 0, -1),
		newOp("B", opWrite, 3, 0, keys("b1"), -1),
		newOp("A", opWrite, 4, 0, keys("a1"), 2),
	}
}

func lostUpdate() []proc {
	return []proc{
		newOp("W", opWrite, 1, 0, keys("a2"), -1),
		newOp("I", opTxn, 2, keys("a2"), keys("a2"), -1),
	}
}

func readLocks() []proc {
	return []proc{
		newOp("T", opTxn, 1, keys("b1"), keys("a1"), -1),
		newOp("B", opWrite, 2, 0, keys("b1"), -1),
		newOp("S", opTxn, 3, keys("a1", "b1"), 0, -1),
	}
}

// closureBetween: what a closure has read must not get the higher stamp.
func closureBetween() []proc {
	return []proc{
		newOp("W", opWrite, 1, 0, keys("a1"), -1),
		newOp("C", opClosure, 2, keys("a1"), keys("a2"), -1),
		newOp("S", opTxn, 3, keys("a1", "a2"), 0, -1),
	}
}

// twoWriters wait for each other unless one dies.
func twoWriters() []proc {
	return []proc{
		newOp("T", opTxn, 1, 0, keys("a1", "b1"), -1),
		newOp("U", opTxn, 2, keys("a1"), keys("a1", "b1"), -1),
	}
}

// lateReader: a transaction over both ranges and a snapshot of what it writes.
func lateReader() []proc {
	return []proc{
		newOp("T", opTxn, 1, keys("a1"), keys("a1", "b1"), -1),
		newOp("S", opTxn, 2, keys("a1", "b1"), 0, -1),
	}
}

// concluded lets all transactions ask their anchor last, for everything at once.
func concluded(ops []proc) []proc {
	for i := range ops {
		ops[i].concludes = true
	}
	return ops
}

// concludedBehindWrite: W reads what T writes, and is sequenced before T at T's anchor.
func concludedBehindWrite() []proc {
	return concluded([]proc{
		newOp("T", opTxn, 1, 0, keys("a1", "b1"), -1),
		newOp("W", opClosure, 2, keys("a1"), keys("a2"), -1),
		newOp("S", opTxn, 3, keys("a1", "a2"), 0, -1),
	})
}
