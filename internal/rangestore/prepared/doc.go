// Package prepared is what one range knows about transactions over several ranges:
// the locks of prepared transactions, the records of decisions, and the marks that
// say a transaction is over here. It is the pure heart of the commit protocol: no
// clock, goroutine, lock, disk or randomness, and nothing of the window.
//
//	coordinator           participant a (anchor)      participant b
//	     │ prepare ─────────────►│───────────────────────►│   CheckPrepare, Apply
//	     │                     locks                    locks
//	     │◄──── prepared ────────│◄── after its Raft commit
//	     C from the oracle, once the last one is prepared
//	     │ record(C) ───────────►│ CheckRecord: held here, and no record yet
//	     │◄──── committed        │
//	     reply to the client     │
//	     │ resolve(C) ──────────►│───────────────────────►│   CheckResolve, Apply
//	     │                       versions with stamp C, the locks are gone
//	     │ settled ─────────────►│ the record becomes a mark
//	     .                       .
//	     . retain                drops marks that nobody can need any more
//
//	Table   held    prepares whose locks count, by transaction
//	        fates   records (open) and marks, by transaction
//	        locks   index: hash table of keys and their order, fragments of spans
//	        tail    what DropTail takes back, oldest first
//
// Check… decides about a message from the newest state, the speculative tail
// included; only the leader calls it. What is accepted becomes an Entry of the log,
// and Apply makes its change: on the leader when the entry is sequenced, elsewhere
// when it is committed. Then SetStamp, Commit and DropTail follow the log, as the
// window does. Answers are revealed when the position they name is committed (R1).
//
// Invariants, in the numbers of the commit protocol:
//
//	C2   A record is accepted once: the commit record if the prepare is held here,
//	     the tombstone in any case. Whoever comes later learns the winner.
//	C3   A resolve leaves a mark, whether the prepare was seen or not. A prepare that
//	     meets a mark or a record is refused, and so is one that began before the
//	     horizon Refuse. Marks and settled records are dropped below the horizon
//	     Forget, which never passes Refuse. Every message may come twice.
//	C4   A lock counts from the position of its prepare to that of its resolve.
//	     StopsWrite, StopsRead, StopsSnapshot and CheckPrepare are the table's columns.
//	C5   A lock carries P, the stamp of its prepare's batch. What a resolve installs
//	     carries C.
//	C6   A prepare waits if it is older than every holder it meets, and is refused at
//	     once otherwise. Age is (priority, begin stamp, id). A Queue says who may ask
//	     again when locks go.
//	C9   Answers name the position that has to be committed before.
//	C10  A record is open until Settled, and open records are never dropped. Forget
//	     never passes a prepare that is held here.
//	C12  Spans lock whatever lies in them, keys that do not exist included.
//	W6   DropTail restores the committed table.
//
// What the rules leave open, and how it is here:
//
//   - An attempt is a transaction of its own, with a new id and begin stamp; it
//     begins when the attempt before it is resolved everywhere, so as not to die of
//     its own locks. Only the priority stays.
//   - A mark knows how the transaction ended, and answers for a record. A settled
//     record is a mark.
//   - Participants are addressed by spans around what they lock, so a resolve reaches
//     ranges that never saw a prepare, also when it commits: they log a mark.
//   - A coordinator that never asked for its record aborts without a tombstone:
//     nobody else can write the commit record.
//     If it dies before all have resolved, the others ask its anchor as always.
//   - A lock whose stamp P is unknown, in a closed batch, makes a snapshot reader wait
//     for the stamp. (C is issued behind the reader's stamp then, so it might pass;
//     the model finds no harm in it. The rules do not say so.)
//   - ErrNotHeld says that there never was a decision, because fates are remembered
//     above Forget; below, the answer is ErrForgotten and the outcome unknown.
//   - A reader whose question about a lock is answered by Forgotten looks at the lock
//     again: the transaction may have been settled while it asked. If the lock is
//     still there, that is the alarm.
//   - Refuse and Forget are two horizons. A range may raise Forget as far as all
//     ranges have committed Refuse and nobody holds an older prepare; Refuse may
//     follow the clock.
//   - A prepare is compared with the one that is held: another part of the same
//     transaction, after a split or a merge, is refused and tried again.
//   - Conflicts with versions are looked for before locks: who is doomed does not wait.
//   - A prepare that waits in one range is not seen by others, which may get ahead of
//     it; it holds nothing there, so they can make it die, but not deadlock.
//   - Split and Merge want a table without a tail: the leader lets the log before them
//     commit first. A merge keeps the higher horizons, which can only raise a false
//     alarm. A split inside the span of a versionstamped key is refused.
package prepared
