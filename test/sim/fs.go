package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var errCrashed = errors.New("the simulated machine is down")

// disk is a file system on which a crash can be armed at a later I/O.
type disk struct {
	vfs.FS
	mem *vfs.MemFS
	// countdown is the number of I/Os until the crash; negative: none armed.
	countdown int
	lose      int // percent of the un-synced data that is lost then
	rnd       *rand.Rand
	before    func()     // directed tests only: called before every I/O
	after     *vfs.MemFS // what a restart finds; nil while the machine is up
	full      bool
	noSpace   bool // no file of the log can grow
	// synced is the content of each file at its last sync, under its present
	// name: a directory entry that was not synced may lead to synced data.
	synced map[string][]byte
	// removals are the files that Pebble's cleaner wants to be gone. It works
	// beside everything else, so the moment is nobody's: they go when a call into
	// the state has ended and the cleaner with it, and stay over a crash.
	removals struct {
		sync.Mutex
		names map[string]bool
	}
}

func newDisk(mem *vfs.MemFS, rnd *rand.Rand) *disk {
	d := &disk{FS: mem, mem: mem, countdown: -1, rnd: rnd, synced: map[string][]byte{}}
	d.removals.names = map[string]bool{}
	return d
}

func (d *disk) arm(countdown, lose int) { d.countdown, d.lose = countdown, lose }

// crash takes the image that a restart finds.
func (d *disk) crash(lose int) {
	image, err := crashImage(d.mem, d.synced, lose, d.rnd.Uint64())
	if err != nil {
		panic(errors.NewAssertionErrorWithWrappedErrf(err, "making the image of a crash"))
	}
	d.after = image
	d.countdown = -1
}

// io is called before every operation that changes the disk. After the crash
// the log fails, so nothing is acknowledged any more. The state goes on, unseen:
// Pebble would retry for ever.
func (d *disk) io(name string) error {
	if d.before != nil {
		d.before()
	}
	if d.after == nil && d.countdown == 0 {
		d.crash(d.lose)
	}
	if d.after != nil {
		if strings.Contains(name, stateDir) {
			return nil
		}
		return errCrashed
	}
	if d.countdown > 0 {
		d.countdown--
	}
	return nil
}

func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	u := vfs.DiskUsage{AvailBytes: 10 << 30, TotalBytes: 20 << 30, UsedBytes: 10 << 30}
	if d.full {
		u.AvailBytes = 1 << 10
	}
	return u, nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.io(name); err != nil {
		return nil, err
	}
	delete(d.synced, name)
	f, err := d.FS.Create(name, c)
	return d.wrap(name, f), err
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name, c, opts...)
	return d.wrap(name, f), err
}

func (d *disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.io(newname); err != nil {
		return nil, err
	}
	d.moved(oldname, newname)
	f, err := d.FS.ReuseForWrite(oldname, newname, c)
	return d.wrap(newname, f), err
}

func (d *disk) Rename(oldname, newname string) error {
	if err := d.io(newname); err != nil {
		return err
	}
	d.moved(oldname, newname)
	return d.FS.Rename(oldname, newname)
}

// Remove puts off what Pebble's cleaner removes.
func (d *disk) Remove(name string) error {
	base := d.PathBase(name)
	if d.PathDir(name) == stateDir && (strings.HasSuffix(base, ".sst") || strings.HasSuffix(base, ".log") ||
		strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "OPTIONS-")) {
		d.removals.Lock()
		defer d.removals.Unlock()
		d.removals.names[name] = true
		return nil
	}
	return d.FS.Remove(name)
}

// removeObsolete removes what the cleaner wanted to be gone, unless the machine is down.
func (d *disk) removeObsolete() error {
	if d.after != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(d.removals.names)) {
		if err := d.FS.Remove(name); err != nil {
			return err
		}
	}
	clear(d.removals.names)
	return nil
}

func (d *disk) moved(oldname, newname string) {
	d.removals.Lock()
	delete(d.removals.names, oldname)
	d.removals.Unlock()
	if b, ok := d.synced[oldname]; ok {
		d.synced[newname] = b
		delete(d.synced, oldname)
	}
}

func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return d.wrap(name, f), err
}

func (d *disk) wrap(name string, f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return &file{File: f, d: d, name: name}
}

type file struct {
	vfs.File
	d    *disk
	name string
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.d.io(f.name); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.d.io(f.name); err != nil {
		return 0, err
	}
	if st, err := f.Stat(); err == nil && off+int64(len(p)) > st.Size() {
		if err := f.grow(); err != nil {
			return 0, err
		}
	}
	return f.File.WriteAt(p, off)
}

func (f *file) Preallocate(off, n int64) error {
	if err := f.grow(); err != nil {
		return err
	}
	return f.File.Preallocate(off, n)
}

// grow fails where the file system below the log has no room.
func (f *file) grow() error {
	if f.d.noSpace && strings.HasPrefix(f.name, logDir) {
		return syscall.ENOSPC
	}
	return nil
}

// The sync itself is an I/O boundary on both sides: a crash before it loses what
// it would have saved; one after it must not.

func (f *file) Sync() error { return f.sync(f.File.Sync) }

func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

func (f *file) SyncTo(n int64) (bool, error) {
	full := false
	err := f.sync(func() (err error) { full, err = f.File.SyncTo(n); return err })
	return full, err
}

func (f *file) sync(do func() error) error {
	if err := f.d.io(f.name); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if st, err := f.d.mem.Stat(f.name); err == nil && !st.IsDir() && f.d.after == nil {
		if f.d.synced[f.name], err = readFile(f.d.mem, f.name); err != nil {
			return err
		}
	}
	return f.d.io(f.name)
}

// segments are the log's files in the image of a crash.
func segments(fs *vfs.MemFS) ([]string, error) {
	names, err := fs.List(logDir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	out := names[:0]
	for _, n := range names {
		if !strings.HasSuffix(n, "LOCK") {
			out = append(out, dataDir+"/log/"+n)
		}
	}
	return out, nil
}
