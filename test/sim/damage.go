package sim

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/test/history"
)

// flip turns one bit of a log segment and expects that the store either refuses
// to open, changing nothing, or loses nothing that was acknowledged (the bit lay
// where nothing is read). Then it turns the bit back.
func (s *sim) flip(image *vfs.MemFS) error {
	names, err := segments(image)
	if err != nil || len(names) == 0 {
		return err
	}
	name := names[s.rnd.IntN(len(names))]
	st, err := image.Stat(name)
	if err != nil || st.Size() == 0 {
		return err
	}
	off, bit := s.rnd.Int64N(st.Size()), byte(1)<<s.rnd.IntN(8)
	trial, err := crashImage(image, nil, 0, 0)
	if err != nil {
		return err
	}
	if err := flipBit(trial, name, off, bit); err != nil {
		return err
	}
	s.res.Flips++
	return s.openDamaged(trial, name, off)
}

func flipBit(fs vfs.FS, name string, off int64, bit byte) error {
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return errors.CombineErrors(err, f.Close())
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b[:], off); err != nil {
		return errors.CombineErrors(err, f.Close())
	}
	return errors.CombineErrors(f.Sync(), f.Close())
}

// openDamaged opens a store in whose log a bit was flipped. A refusal must change
// no segment. Otherwise the lists are a prefix of what was acknowledged, cut by
// no more than the last flush, which a reader cannot tell from a torn tail.
func (s *sim) openDamaged(image *vfs.MemFS, name string, off int64) error {
	before, err := contents(image)
	if err != nil {
		return err
	}
	d, res := s.disk, s.res
	defer func() { s.disk, s.res.Points = d, res.Points }()
	s.disk = newDisk(image, s.rnd)
	if err := s.start(); err != nil {
		s.note("a flipped bit in %s at %d is refused", name, off)
		if !errors.Is(err, base.ErrCorruption) {
			return errors.Wrap(err, "a flipped bit gave another error")
		}
		after, err := contents(image)
		if err != nil {
			return err
		}
		for file, b := range before {
			if !bytes.Equal(b, after[file]) {
				return errors.Newf("refusing the log has changed %s", file)
			}
		}
		return nil
	}
	s.note("a flipped bit in %s at %d does not matter", name, off)
	err = s.checkPrefix()
	s.store.Abandon()
	return err
}

func contents(fs *vfs.MemFS) (map[string][]byte, error) {
	names, err := segments(fs)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, n := range names {
		b, err := readFile(fs, n)
		if err != nil {
			return nil, err
		}
		out[n] = b
	}
	return out, nil
}

// checkPrefix checks that the lists hold nothing that was never appended and
// nothing out of order: what was read by anybody and what is there now are
// prefixes of one another.
func (s *sim) checkPrefix() error {
	var bad error
	_, err := s.clients[0].sess.Run(kv.Func(func(t kv.Txn) error {
		bad = nil
		return t.Scan(listSpan, kv.ScanOptions{}, func(key, value []byte) bool {
			bad = errors.CombineErrors(bad, s.prefix(string(key), decode(value)))
			return true
		})
	}))
	return errors.CombineErrors(err, bad)
}

func (s *sim) prefix(key string, list []uint32) error {
	for _, o := range s.ops {
		if o.Outcome != history.OK {
			continue
		}
		seen := o.Reads[key]
		if n := min(len(seen), len(list)); !slices.Equal(seen[:n], list[:n]) {
			return errors.Newf("behind a flipped bit %q is %v; %v", key, list, o)
		}
	}
	return nil
}
