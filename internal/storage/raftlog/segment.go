package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

const (
	// dataStart is the offset of a segment's first record. The header has a
	// block of its own, so that no record is ever written into its sector.
	dataStart = 4096

	formatVersion  = 1
	segmentMagic   = "STRATLOG"
	segmentHdrLen  = 64
	segmentSuffix  = ".log"
	spareSuffix    = ".spare"
	tempSuffix     = ".tmp"
	zeroChunkBytes = 256 << 10
	// syncChunkBytes bounds the dirty pages of a file that is being zeroed, so
	// that a flush of the active segment does not wait behind all of them.
	syncChunkBytes = 4 << 20
)

// segment is one file. The first group of fields does not change; the second is
// guarded by Log.mu.
type segment struct {
	seq   uint64
	seed  uint64
	size  int64
	store base.StoreID
	path  string
	file  vfs.File

	head      int64 // offset of the next record
	readers   int
	liveBytes int64
	live      map[base.RangeID]int // live records by range; lifecycle records under their range
}

// room is the space for records, the seal excepted.
func (s *segment) room() int64 { return s.size - sealRecordLen - s.head }

// freshRoom is the room of an untouched segment of that size.
func freshRoom(size int64) int64 { return size - dataStart - beginRecordLen - sealRecordLen }

// sizeFor is the smallest segment that holds a record of that length.
func sizeFor(record int64) int64 {
	n := record + dataStart + beginRecordLen + sealRecordLen
	return (n + dataStart - 1) / dataStart * dataStart
}

func segmentName(seq uint64) string { return fmt.Sprintf("%016x%s", seq, segmentSuffix) }

func parseName(name, suffix string) (seq uint64, ok bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	seq, err := strconv.ParseUint(hex, 16, 64)
	return seq, err == nil
}

func encodeSegmentHeader(s *segment, store base.StoreID) []byte {
	b := make([]byte, dataStart)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	copy(b[16:32], store[:])
	binary.LittleEndian.PutUint64(b[32:], s.seq)
	binary.LittleEndian.PutUint64(b[40:], uint64(s.size))
	binary.LittleEndian.PutUint64(b[48:], s.seed)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

// decodeSegmentHeader fills in s from its header. The header is durable before
// the file gets its name, so that a bad one is never an interrupted write.
func decodeSegmentHeader(s *segment, b []byte) (store base.StoreID, err error) {
	corrupt := func(detail string) error { return &CorruptionError{File: s.path, Detail: detail} }
	if len(b) < segmentHdrLen || string(b[:8]) != segmentMagic {
		return store, corrupt("the segment header is damaged (no magic)")
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return store, corrupt("the segment header fails its checksum")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return store, errors.Newf("raftlog: %s has format version %d, this binary knows %d: start a newer binary",
			s.path, v, formatVersion)
	}
	copy(store[:], b[16:32])
	if seq := binary.LittleEndian.Uint64(b[32:]); seq != s.seq {
		return store, corrupt(fmt.Sprintf("the segment header is that of segment %d", seq))
	}
	s.size = int64(binary.LittleEndian.Uint64(b[40:]))
	s.seed = binary.LittleEndian.Uint64(b[48:])
	if s.size < sizeFor(headerLen) || s.size > 1<<32 {
		return store, corrupt("the segment header has an impossible size")
	}
	return store, nil
}

// createSegment makes a segment ready for use: zeroed (or recycled from the file
// at spare), header written, synced, and only then named.
func (l *Log) createSegment(s *segment, spare string) (err error) {
	fs, from := l.opts.FS, spare
	if spare == "" {
		from = fs.PathJoin(l.opts.Dir, fmt.Sprintf("%016x%s", s.seq, tempSuffix))
	}
	s.path = fs.PathJoin(l.opts.Dir, segmentName(s.seq))
	s.live = make(map[base.RangeID]int)
	s.head = dataStart
	s.file, err = fs.OpenReadWrite(from, vfs.WriteCategoryUnspecified)
	if err != nil {
		return classify(err, "creating a segment")
	}
	defer func() {
		if err != nil {
			_ = s.file.Close()
			_ = fs.Remove(from)
		}
	}()
	if spare == "" {
		if err := zeroFill(s.file, s.size); err != nil {
			return classify(err, "preallocating a segment")
		}
	}
	if _, err := s.file.WriteAt(encodeSegmentHeader(s, l.opts.StoreID), 0); err != nil {
		return classify(err, "writing a segment header")
	}
	if err := s.file.Sync(); err != nil {
		return classify(err, "syncing a new segment")
	}
	if err := fs.Rename(from, s.path); err != nil {
		return classify(err, "naming a segment")
	}
	return classify(l.dir.Sync(), "syncing the log directory")
}

// zeroFill writes the whole file, so that later flushes change neither its size
// nor its extents.
func zeroFill(f vfs.File, size int64) error {
	// A full disk shows here, before any byte is written, where the file
	// system supports it; elsewhere the writes below find out.
	if err := f.Preallocate(0, size); err != nil && errors.Is(classify(err, ""), base.ErrDiskFull) {
		return err
	}
	zero := make([]byte, min(size, zeroChunkBytes))
	dirty := int64(0)
	for off := int64(0); off < size; {
		n := min(int64(len(zero)), size-off)
		if _, err := f.WriteAt(zero[:n], off); err != nil {
			return err
		}
		off += n
		if dirty += n; dirty >= syncChunkBytes {
			if err := f.SyncData(); err != nil {
				return err
			}
			dirty = 0
		}
	}
	return nil
}

// retire renames a segment that nobody needs into a spare, or removes it when
// its size is not the standard one or spares abound. It returns the spare's path.
func (l *Log) retire(s *segment, keep bool) (spare string, err error) {
	fs := l.opts.FS
	file := s.file
	s.file = nil
	if err := file.Close(); err != nil {
		return "", classify(err, "closing a segment")
	}
	if keep && s.size == l.opts.SegmentBytes {
		spare = strings.TrimSuffix(s.path, segmentSuffix) + spareSuffix
		if err := fs.Rename(s.path, spare); err != nil {
			return "", classify(err, "recycling a segment")
		}
	} else if err := fs.Remove(s.path); err != nil && !oserror.IsNotExist(err) {
		return "", classify(err, "removing a segment")
	}
	return spare, classify(l.dir.Sync(), "syncing the log directory")
}
