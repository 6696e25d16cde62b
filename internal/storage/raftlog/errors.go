package raftlog

import (
	"fmt"
	"syscall"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

var (
	// ErrCompacted: the index lies at or below the group's compaction mark.
	ErrCompacted = errors.New("raftlog: index is compacted")
	// ErrUnavailable: the index lies above the group's last entry.
	ErrUnavailable = errors.New("raftlog: index is not in the log")
	// ErrMissing: Options.ErrorIfMissing is set and the directory holds no log.
	ErrMissing = errors.New("raftlog: no log in this directory")
)

// CorruptionError says that stored records contradict their checksums and that
// this is not the trace of an interrupted write. Nothing on disk was changed.
// It is an base.ErrCorruption.
type CorruptionError struct {
	// File is the path of the segment.
	File string
	// Offset is where the first bad byte range begins.
	Offset int64
	// Detail is what was found.
	Detail string
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("raft log is corrupt: %s at offset %d: %s; "+
		"acknowledged writes may be lost, so nothing was changed: keep a copy of the directory, check the disk, "+
		"and rebuild this store from its peers (or, with a single node, from a backup)", e.File, e.Offset, e.Detail)
}

// Is makes errors.Is(err, base.ErrCorruption) true.
func (e *CorruptionError) Is(target error) bool { return target == base.ErrCorruption }

// classify wraps an error of the file system; a full disk becomes base.ErrDiskFull.
func classify(err error, doing string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Mark(errors.Wrapf(err, "raftlog: %s", doing), base.ErrDiskFull)
	}
	return errors.Wrapf(err, "raftlog: %s", doing)
}
