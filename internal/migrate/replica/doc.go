// Package replica is the side of Redis's replication that follows: it asks a server for what was
// written since a position, or for a file of everything and what was written after that.
//
//	PSYNC id offset+1 ──► CONTINUE      what came behind the offset
//	                  ──► FULLRESYNC    a file as of an offset, then what came behind it
//
// What arrives is put into a spool on disk at once, however slowly it is taken from there: a server
// does not wait for those who follow, it gives them up. The position of what was taken, and has been
// done, is acknowledged once a second.
package replica
