package raftlog

import (
	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// Report is what Verify found in one segment.
type Report struct {
	File    string
	Size    int64
	Records int64
	Entries int64
	Bytes   int64 // of good records
}

// Summary is what Verify found in the whole log.
type Summary struct {
	Store    base.StoreID
	Segments int
	Records  int64
	Groups   int
	Live     int64 // bytes of records that a restart needs
	// Torn reports remains of an unfinished flush behind the end: the next open cuts them.
	Torn bool
}

// Verify reads the log in dir, which no process may have open, checks every
// checksum and changes nothing. report is called once per segment. The error is a
// *CorruptionError, or one of reading.
func Verify(fs vfs.FS, dir string, report func(Report)) (sum Summary, err error) {
	files, err := listDir(fs, dir)
	if err != nil {
		return sum, err
	}
	if len(files.segs) == 0 {
		return sum, errors.Wrap(ErrMissing, dir)
	}
	defer func() {
		for _, s := range files.segs {
			if s.file != nil {
				_ = s.file.Close()
			}
		}
	}()
	if err := openSegments(fs, files.segs, nil); err != nil {
		return sum, err
	}
	reports := make(map[uint64]*Report, len(files.segs))
	for _, s := range files.segs {
		reports[s.seq] = &Report{File: s.path, Size: s.size}
	}
	rec, err := recoverLogWith(files.segs, func(seg *segment, h header) {
		r := reports[seg.seq]
		r.Records++
		r.Bytes += recordLen(int(h.bodyLen))
		if h.typ == recEntry || h.typ == recMovedEntry {
			r.Entries++
		}
	})
	for _, s := range files.segs {
		if report != nil {
			report(*reports[s.seq])
		}
	}
	if err != nil {
		return sum, err
	}
	sum = Summary{Segments: len(files.segs), Records: rec.scan.records, Groups: len(rec.groups), Torn: rec.scan.torn}
	sum.Store = files.segs[0].store
	for _, s := range files.segs {
		sum.Live += s.liveBytes
	}
	return sum, nil
}
