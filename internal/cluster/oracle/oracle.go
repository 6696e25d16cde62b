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

	// The file has two slots, written in turn and in place: a torn write leaves
	// the other one, and a full disk does not matter.
	slotBytes = 512
	slotUsed  = 8 + 8 + 4 // magic, bound, CRC32C
)

var (
	magic      = [8]byte{'S', 'T', 'R', 'O', 'R', 'A', 'C', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// FileName is the oracle's file in the data directory.
const FileName = "ORACLE"

// Local is the oracle of a single node.
type Local struct {
	clock  clock.Clock
	inline bool
	file   vfs.File
	mu     struct {
		sync.Mutex
		last   base.Stamp
		bound  base.Stamp // durable
		saving bool
		closed bool
	}
	save struct {
		sync.Mutex // held while writing; taken before mu
		slot       int64
		wait       sync.WaitGroup
	}
}

// Options configures an oracle. All but Inline is required.
type Options struct {
	FS    vfs.FS
	Dir   string
	Clock clock.Clock
	// Inline extends the bound inside Next instead of ahead of time in a
	// goroutine, so that a run depends on nothing but the calls.
	Inline bool
}

// Open reads the bound kept in the directory, or makes the file.
func Open(opt Options) (*Local, error) {
	fs, dir := opt.FS, opt.Dir
	path := fs.PathJoin(dir, FileName)
	_, err := fs.Stat(path)
	fresh := oserror.IsNotExist(err)
	if err != nil && !fresh {
		return nil, errors.Wrap(err, "oracle")
	}
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, errors.Wrap(err, "oracle")
	}
	o := &Local{clock: opt.Clock, inline: opt.Inline, file: f}
	if fresh {
		err = o.create(fs, dir)
	} else {
		err = o.load(path)
	}
	if err != nil {
		return nil, errors.CombineErrors(errors.Wrap(err, "oracle"), f.Close())
	}
	return o, nil
}

func (o *Local) create(fs vfs.FS, dir string) error {
	slot := encode(1)
	for i := int64(0); i < 2; i++ {
		if _, err := o.file.WriteAt(slot, i*slotBytes); err != nil {
			return err
		}
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.CombineErrors(d.Sync(), d.Close())
}

func encode(bound base.Stamp) []byte {
	b := make([]byte, slotBytes)
	copy(b, magic[:])
	binary.LittleEndian.PutUint64(b[8:], uint64(bound))
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	return b
}

func decode(b []byte) (base.Stamp, bool) {
	if [8]byte(b[:8]) != magic || crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, false
	}
	return base.Stamp(binary.LittleEndian.Uint64(b[8:])), true
}

func (o *Local) load(path string) error {
	found := false
	for i := int64(0); i < 2; i++ {
		var b [slotUsed]byte
		if _, err := o.file.ReadAt(b[:], i*slotBytes); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if bound, ok := decode(b[:]); ok {
			found = true
			if bound >= o.mu.bound {
				o.mu.bound, o.save.slot = bound, 1-i
			}
		}
	}
	o.mu.last = o.mu.bound
	if !found {
		return errors.Wrapf(base.ErrCorruption, "%s is damaged; if it was empty when the machine failed, remove it", path)
	}
	return nil
}

// Ahead is how long the wall clock needs to pass every stamp issued before the
// restart, at most Reach; a caller waits that long before it serves.
func (o *Local) Ahead() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	ahead := int64(o.mu.last) - o.clock.UnixMicros()
	return min(max(time.Duration(ahead)*time.Microsecond, 0), Reach)
}

// Reach is how far stamps may run ahead of the wall clock after a crash.
const Reach = time.Duration(reach) * time.Microsecond

// Next returns a stamp above every one issued before, or base.ErrClosed.
func (o *Local) Next() (base.Stamp, error) {
	for {
		o.mu.Lock()
		if o.mu.closed {
			o.mu.Unlock()
			return 0, base.ErrClosed
		}
		s := max(o.mu.last+1, base.Stamp(max(o.clock.UnixMicros(), 0)))
		if s < o.mu.bound {
			o.mu.last = s
			if s+reach/2 > o.mu.bound && !o.mu.saving && !o.inline {
				o.mu.saving = true
				o.save.wait.Go(func() { _ = o.extend(s) }) // Next reports what goes wrong, should it need the bound
			}
			o.mu.Unlock()
			return s, nil
		}
		o.mu.Unlock()
		if err := o.extend(s); err != nil {
			return 0, err
		}
	}
}

// extend makes the bound reach beyond s.
func (o *Local) extend(s base.Stamp) error {
	o.save.Lock()
	defer o.save.Unlock()
	o.mu.Lock()
	enough := o.mu.bound >= s+reach
	o.mu.Unlock()
	var err error
	if !enough {
		err = o.write(s + reach)
	}
	o.mu.Lock()
	o.mu.saving = false
	if err == nil && !enough {
		o.mu.bound = s + reach
	}
	o.mu.Unlock()
	return err
}

// write makes bound durable. o.save is held.
func (o *Local) write(bound base.Stamp) error {
	if _, err := o.file.WriteAt(encode(bound), o.save.slot*slotBytes); err != nil {
		return errors.Wrap(err, "oracle bound")
	}
	if err := o.file.SyncData(); err != nil {
		return errors.Wrap(err, "oracle bound")
	}
	o.save.slot = 1 - o.save.slot
	return nil
}

// Observe makes later stamps larger than s.
func (o *Local) Observe(s base.Stamp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.last = max(o.mu.last, s)
}

// Latest is the highest stamp that was issued or observed.
func (o *Local) Latest() base.Stamp {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.last
}

// Now is the wall clock as a stamp; it issues nothing.
func (o *Local) Now() base.Stamp { return base.Stamp(max(o.clock.UnixMicros(), 0)) }

// Close records the last stamp exactly, so that a restart need not wait. Nothing
// is issued any more. Both slots are written: load takes the larger one.
func (o *Local) Close() error {
	o.mu.Lock()
	o.mu.closed = true // before waiting: Next begins no save any more
	o.mu.Unlock()
	o.save.wait.Wait()
	o.save.Lock()
	defer o.save.Unlock()
	o.mu.Lock()
	last := o.mu.last + 1
	o.mu.Unlock()
	return errors.CombineErrors(errors.CombineErrors(o.write(last), o.write(last)), o.file.Close())
}
