// Package oracle issues stamps: microseconds of the Unix epoch, strictly
// increasing, also over restarts and when the wall clock jumps back.
//
// The local oracle keeps a bound on disk that lies ahead of every stamp it has
// issued. A restart continues above the bound, so no stamp is issued twice. A
// clean stop records the last stamp exactly; after a crash the oracle waits until
// the wall clock has passed the bound, at most the reach of a bound, so that
// expiry times are not judged by a clock that runs ahead.
package oracle

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
)

const (
	// reach is how far a bound lies ahead of the stamp that made it necessary.
	reach = base.Stamp(1_000_000)

	fileName  = "ORACLE"
	fileBytes = 8 + 8 + 4 // magic, bound, CRC32C
)

var (
	magic      = [8]byte{'S', 'T', 'R', 'O', 'R', 'A', 'C', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Local is the oracle of a single node.
type Local struct {
	clock clock.Clock
	fs    vfs.FS
	dir   string
	mu    struct {
		sync.Mutex
		last  base.Stamp
		bound base.Stamp
	}
}

// Open reads the bound kept in dir.
func Open(fs vfs.FS, dir string, c clock.Clock) (*Local, error) {
	o := &Local{clock: c, fs: fs, dir: dir}
	bound, err := o.load()
	if err != nil {
		return nil, errors.Wrap(err, "oracle")
	}
	o.mu.last, o.mu.bound = bound, bound
	return o, nil
}

// Ahead is how long the wall clock needs to pass every stamp issued before the
// restart; a caller waits that long, at most Reach, before it serves.
func (o *Local) Ahead() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	ahead := int64(o.mu.last) - o.clock.UnixMicros()
	return min(max(time.Duration(ahead)*time.Microsecond, 0), Reach)
}

// Reach is how far stamps may run ahead of the wall clock after a crash.
const Reach = time.Duration(reach) * time.Microsecond

// Next returns a stamp above every one issued before.
func (o *Local) Next() (base.Stamp, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := max(o.mu.last+1, base.Stamp(max(o.clock.UnixMicros(), 0)))
	if s >= o.mu.bound {
		if err := o.saveLocked(s + reach); err != nil {
			return 0, err
		}
	}
	o.mu.last = s
	return s, nil
}

// Observe makes later stamps larger than s.
func (o *Local) Observe(s base.Stamp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.last = max(o.mu.last, s)
}

// Now is the wall clock as a stamp; it issues nothing.
func (o *Local) Now() base.Stamp { return base.Stamp(max(o.clock.UnixMicros(), 0)) }

// Close records the last stamp, so that a restart need not wait.
func (o *Local) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.saveLocked(o.mu.last + 1)
}

func (o *Local) saveLocked(bound base.Stamp) error {
	var b [fileBytes]byte
	copy(b[:], magic[:])
	binary.LittleEndian.PutUint64(b[8:], uint64(bound))
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	tmp := o.fs.PathJoin(o.dir, fileName+".tmp")
	f, err := o.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return errors.Wrap(err, "oracle bound")
	}
	_, err = f.Write(b[:])
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = o.fs.Rename(tmp, o.fs.PathJoin(o.dir, fileName))
	}
	if err == nil {
		err = o.syncDir()
	}
	if err != nil {
		return errors.Wrap(err, "oracle bound")
	}
	o.mu.bound = bound
	return nil
}

func (o *Local) syncDir() error {
	d, err := o.fs.OpenDir(o.dir)
	if err != nil {
		return err
	}
	return errors.CombineErrors(d.Sync(), d.Close())
}

func (o *Local) load() (base.Stamp, error) {
	path := o.fs.PathJoin(o.dir, fileName)
	f, err := o.fs.Open(path)
	if oserror.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileBytes+1))
	if err != nil {
		return 0, err
	}
	if len(b) != fileBytes || [8]byte(b[:8]) != magic ||
		crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, errors.Wrapf(base.ErrCorruption, "%s is damaged", path)
	}
	return base.Stamp(binary.LittleEndian.Uint64(b[8:])), nil
}
