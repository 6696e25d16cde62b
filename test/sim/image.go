package sim

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const sectorBytes = 512

// crashImage is what a crash leaves of a file system: everything that was synced
// and, of what was not, each sector with a probability of 100-lose percent. The
// un-synced entries of one directory stay or go together: file systems journal
// them in order, and crashes come at every point of that order. The image follows from the seed. data is the synced content of files whose
// directory entry may not be.
func crashImage(mem *vfs.MemFS, data map[string][]byte, lose int, seed uint64) (*vfs.MemFS, error) {
	synced := mem.CrashClone(vfs.CrashCloneCfg{})
	if lose == 100 {
		return synced, nil
	}
	all := rand.New(rand.NewPCG(1, 1)) // the clone draws, but every draw says yes
	written := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: all})
	if lose == 0 {
		return written, nil
	}
	m := mixer{data: data, synced: synced, written: written, lose: lose, seed: seed}
	if err := m.dir(""); err != nil {
		return nil, err
	}
	// One more clone turns what was mixed into the synced state.
	return synced.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: all}), nil
}

type mixer struct {
	data            map[string][]byte // synced contents by present name
	synced, written *vfs.MemFS
	lose            int
	seed            uint64
}

// dice decides what of path stays. Each path has its own, so that a file more or
// less (Pebble removes obsolete ones in the background) changes no other's fate.
func (m *mixer) dice(path string) (keep func() bool) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path))
	rnd := rand.New(rand.NewPCG(m.seed, h.Sum64()))
	return func() bool { return rnd.IntN(100) >= m.lose }
}

func (m *mixer) dir(path string) error {
	names, err := m.written.List(path)
	if err != nil {
		return err
	}
	before, err := m.synced.List(path)
	if err != nil {
		return err
	}
	keep := m.dice(path)()
	for _, name := range slices.Sorted(slices.Values(before)) {
		if !slices.Contains(names, name) && keep { // an un-synced removal
			if err := m.synced.RemoveAll(m.synced.PathJoin(path, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		exists := slices.Contains(before, name)
		if !exists && !keep {
			continue
		}
		if err := m.entry(m.written.PathJoin(path, name), exists); err != nil {
			return err
		}
	}
	return nil
}

func (m *mixer) entry(path string, exists bool) error {
	st, err := m.written.Stat(path)
	if err != nil {
		return err
	}
	if st.IsDir() {
		if err := m.synced.MkdirAll(path, 0o755); err != nil {
			return err
		}
		return m.dir(path)
	}
	return m.file(path, exists)
}

func (m *mixer) file(path string, exists bool) error {
	want, err := readFile(m.written, path)
	if err != nil {
		return err
	}
	have := m.data[path]
	if exists {
		if have, err = readFile(m.synced, path); err != nil {
			return err
		}
	}
	mixed, keep := slices.Clone(have), m.dice(path)
	for off := 0; off < len(want); off += sectorBytes {
		end := min(off+sectorBytes, len(want))
		if end <= len(have) && slices.Equal(have[off:end], want[off:end]) || !keep() {
			continue
		}
		if end > len(mixed) {
			mixed = append(mixed, make([]byte, end-len(mixed))...)
		}
		copy(mixed[off:], want[off:end])
	}
	f, err := m.synced.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(mixed)
	return errors.CombineErrors(err, f.Close())
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.CombineErrors(err, f.Close())
}
