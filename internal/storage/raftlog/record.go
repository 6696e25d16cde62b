package raftlog

import (
	"encoding/binary"
	"hash/crc32"
)

// recordType says what a record's body holds. The numbers are on disk; retired
// ones stay as _.
type recordType uint8

const (
	// recBegin opens a segment: previous chain value (4), zero (4), oldest
	// segment that is still needed (8).
	recBegin recordType = 1
	// recSeal closes a segment; the log goes on in the next one. No body.
	recSeal recordType = 2
	// recMark is written at open and at close: nonce (8), oldest segment (8).
	recMark recordType = 3
	// recTrim says that the segments below are no longer needed: oldest (8).
	recTrim recordType = 4
	// recEntry appends an entry and removes those at and above its index:
	// range (8), index (8), term (8), type (1), data.
	recEntry recordType = 5
	// recMovedEntry is a copy of a live entry; it removes nothing.
	recMovedEntry recordType = 6
	// recHardState: range (8), term (8), vote (8), commit (8).
	recHardState recordType = 7
	// recCompact removes the entries up to an index: range (8), index (8), term (8).
	recCompact recordType = 8
	// recReset removes all entries and sets the position: as recCompact.
	recReset recordType = 9
	// recRemove forgets a group: range (8).
	recRemove recordType = 10
	// recLifecycle: range (8), id (8), kind (1), payload.
	recLifecycle recordType = 11
	// recRelease drops a lifecycle record: id (8).
	recRelease recordType = 12

	recTypeEnd recordType = 13
)

const (
	// headerLen is the length of a record's header:
	//
	//	 0  header checksum (4): of bytes 4 to 28, begun with the record's place
	//	 4  length of the body (4)
	//	 8  checksum of the body (4)
	//	12  record type (1)
	//	13  flags (1)
	//	14  zero (2)
	//	16  flush number (8)
	//	24  zero (4)
	//	28  chain checksum (4): of bytes 0 to 28, begun with the chain
	//	    checksum of the record before
	headerLen = 32
	// recordAlign is the alignment of records; the padding is zero.
	recordAlign = 8
	// maxBodyLen bounds a record's body.
	maxBodyLen = 1 << 30

	flagsOffset     = 13
	flagLastOfFlush = 1

	entryFixedLen     = 25
	hardStateLen      = 32
	positionLen       = 24
	lifecycleFixedLen = 17
	beginLen          = 16
	markLen           = 16
)

// Space of the records that carry no payload.
const (
	beginRecordLen = headerLen + beginLen
	sealRecordLen  = headerLen
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is a decoded record header.
type header struct {
	bodyLen, bodySum uint32
	chainSum         uint32
	flush            uint64
	typ              recordType
	flags            uint8
}

func (h *header) lastOfFlush() bool { return h.flags&flagLastOfFlush != 0 }

// recordLen is the space of a record with a body of n bytes.
func recordLen(n int) int64 {
	return (headerLen + int64(n) + recordAlign - 1) &^ (recordAlign - 1)
}

// headerSum computes the checksum that binds a header to its place: the segment
// (by its seed) and the offset are covered and not stored.
func headerSum(b []byte, seed uint64, off int64) uint32 {
	return crc32.Update(mix(seed+uint64(off)), castagnoli, b[4:28])
}

// mix spreads 64 bits over 32 (the finalizer of SplitMix64).
func mix(x uint64) uint32 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return uint32(x ^ x>>31)
}

// chainSum links the record with the header b to the one before it.
func chainSum(prev uint32, b []byte) uint32 { return crc32.Update(prev, castagnoli, b[:28]) }

func bodySum(body []byte) uint32 { return crc32.Update(0, castagnoli, body) }

// sealHeader fills in both checksums of the header at the start of b and
// returns the new chain value.
func sealHeader(b []byte, seed uint64, off int64, prev uint32) uint32 {
	binary.LittleEndian.PutUint32(b, headerSum(b, seed, off))
	chain := chainSum(prev, b)
	binary.LittleEndian.PutUint32(b[28:], chain)
	return chain
}

// putHeader writes the fields that sealHeader covers; b is zero.
func putHeader(b []byte, typ recordType, flush uint64, body []byte) {
	binary.LittleEndian.PutUint32(b[4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[8:], bodySum(body))
	b[12] = byte(typ)
	binary.LittleEndian.PutUint64(b[16:], flush)
}

// decodeHeader reads the header at the start of b, which lies at off in the
// segment with that seed and size. ok means that this very header was written at
// this very place; it says nothing of the body and nothing of the chain.
func decodeHeader(b []byte, seed uint64, off, size int64) (h header, ok bool) {
	if len(b) < headerLen {
		return h, false
	}
	h.typ, h.flags = recordType(b[12]), b[flagsOffset]
	h.bodyLen = binary.LittleEndian.Uint32(b[4:])
	// The cheap tests come first: the search for later records runs over
	// megabytes of old data.
	if h.typ == 0 || h.typ >= recTypeEnd || h.flags&^flagLastOfFlush != 0 ||
		h.bodyLen > maxBodyLen || off+recordLen(int(h.bodyLen)) > size ||
		b[14]|b[15]|b[24]|b[25]|b[26]|b[27] != 0 {
		return h, false
	}
	if binary.LittleEndian.Uint32(b) != headerSum(b, seed, off) {
		return h, false
	}
	h.bodySum = binary.LittleEndian.Uint32(b[8:])
	h.flush = binary.LittleEndian.Uint64(b[16:])
	h.chainSum = binary.LittleEndian.Uint32(b[28:])
	return h, true
}

// minBodyLen is the shortest body of each type; a valid checksum over a shorter
// one would be a bug of the writer.
func (t recordType) minBodyLen() int {
	switch t {
	case recBegin:
		return beginLen
	case recMark:
		return markLen
	case recTrim, recRemove, recRelease:
		return 8
	case recEntry, recMovedEntry:
		return entryFixedLen
	case recHardState:
		return hardStateLen
	case recCompact, recReset:
		return positionLen
	case recLifecycle:
		return lifecycleFixedLen
	}
	return 0
}

func (t recordType) String() string {
	names := [...]string{"none", "begin", "seal", "mark", "trim", "entry", "moved entry", "hard state",
		"compact", "reset", "remove", "lifecycle", "release"}
	if int(t) < len(names) {
		return names[t]
	}
	return "unknown"
}
