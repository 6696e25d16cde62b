package check

import (
	"bytes"
	"io"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// overlay is a file system in which everything of another one can be read, and in
// which writes, renames and removals stay in memory: whoever is started on it
// finds what is on disk, does what it would do, and changes nothing.
//
// It expects paths that are spelled the same way each time, as a store's are.
type overlay struct {
	vfs.FS
	mu struct {
		sync.Mutex
		files map[string]*node // written here; nil: removed here
		dirs  map[string]bool  // made here
	}
}

func newOverlay(under vfs.FS) *overlay {
	o := &overlay{FS: under}
	o.mu.files, o.mu.dirs = map[string]*node{}, map[string]bool{}
	return o
}

func notExist(op, name string) error { return &os.PathError{Op: op, Path: name, Err: os.ErrNotExist} }

// find is the file's node; shadowed says that the file below does not count.
func (o *overlay) find(name string) (n *node, shadowed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, shadowed = o.mu.files[path.Clean(name)]
	return n, shadowed
}

func (o *overlay) put(name string, n *node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.files[path.Clean(name)] = n
}

// adopt is the node of an existing file, made from the one below if necessary.
func (o *overlay) adopt(op, name string) (*node, error) {
	if n, shadowed := o.find(name); shadowed {
		if n == nil {
			return nil, notExist(op, name)
		}
		return n, nil
	}
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	n := &node{name: path.Base(name), below: f, belowSize: info.Size(), size: info.Size(), pages: map[int64]*page{}}
	o.put(name, n)
	return n, nil
}

func (o *overlay) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	n := &node{name: path.Base(name), pages: map[int64]*page{}}
	o.put(name, n)
	return &handle{node: n}, nil
}

func (o *overlay) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	n, shadowed := o.find(name)
	switch {
	case !shadowed:
		return o.FS.Open(name, opts...)
	case n == nil:
		return nil, notExist("open", name)
	}
	return &handle{node: n}, nil
}

func (o *overlay) OpenReadWrite(name string, c vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	n, err := o.adopt("open", name)
	if oserror.IsNotExist(err) {
		return o.Create(name, c)
	}
	if err != nil {
		return nil, err
	}
	return &handle{node: n}, nil
}

func (o *overlay) OpenDir(name string) (vfs.File, error) {
	return &handle{node: &node{name: path.Base(name)}}, nil
}

func (o *overlay) Link(from, to string) error {
	n, err := o.adopt("link", from)
	if err == nil {
		o.put(to, n)
	}
	return err
}

func (o *overlay) Rename(from, to string) error {
	n, err := o.adopt("rename", from)
	if err == nil {
		o.put(to, n)
		o.put(from, nil)
	}
	return err
}

func (o *overlay) Remove(name string) error {
	if _, err := o.Stat(name); err != nil {
		return err
	}
	o.put(name, nil)
	return nil
}

func (o *overlay) RemoveAll(name string) error {
	names, err := o.List(name)
	if err != nil {
		names = nil // a file, or nothing
	}
	for _, child := range names {
		if err := o.RemoveAll(path.Join(name, child)); err != nil {
			return err
		}
	}
	o.put(name, nil)
	return nil
}

func (o *overlay) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := o.Rename(from, to); err != nil {
		return nil, err
	}
	return o.OpenReadWrite(to, c)
}

func (o *overlay) MkdirAll(dir string, _ os.FileMode) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.dirs[path.Clean(dir)] = true
	return nil
}

func (o *overlay) List(dir string) ([]string, error) {
	below, err := o.FS.List(dir)
	o.mu.Lock()
	defer o.mu.Unlock()
	dir = path.Clean(dir)
	if err != nil && !o.mu.dirs[dir] {
		return nil, err
	}
	var names []string
	for _, name := range below {
		if _, shadowed := o.mu.files[path.Join(dir, name)]; !shadowed {
			names = append(names, name)
		}
	}
	for name, n := range o.mu.files {
		if n != nil && path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (o *overlay) Stat(name string) (vfs.FileInfo, error) {
	n, shadowed := o.find(name)
	switch {
	case !shadowed:
		return o.FS.Stat(name)
	case n == nil:
		return nil, notExist("stat", name)
	}
	return n.info(), nil
}

// Lock does nothing: whoever made the overlay holds the lock of the directory.
func (o *overlay) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// GetDiskUsage says that there is room: nothing goes to the disk.
func (o *overlay) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41, UsedBytes: 1 << 40}, nil
}

func (o *overlay) Unwrap() vfs.FS { return nil }

const pageBytes = 16 << 10

type page [pageBytes]byte

// node is the content of a file: pages that were written over the file below.
type node struct {
	name string

	mu        sync.Mutex
	below     vfs.File // may be nil
	belowSize int64    // what of it counts
	size      int64
	pages     map[int64]*page // nil entries are pages of zeros
}

// readAt fills b with the bytes at off, which lie within the size.
func (n *node) readAtLocked(b []byte, off int64) error {
	for len(b) > 0 {
		number, in := off/pageBytes, off%pageBytes
		part := b[:min(int64(len(b)), pageBytes-in)]
		if p, written := n.pages[number]; written {
			clear(part)
			if p != nil {
				copy(part, p[in:])
			}
		} else if err := n.readBelow(part, off); err != nil {
			return err
		}
		b, off = b[len(part):], off+int64(len(part))
	}
	return nil
}

func (n *node) readBelow(b []byte, off int64) error {
	have := max(min(int64(len(b)), n.belowSize-off), 0)
	clear(b[have:])
	if have == 0 {
		return nil
	}
	got, err := n.below.ReadAt(b[:have], off)
	if int64(got) == have {
		return nil
	}
	return err
}

func (n *node) writeAt(b []byte, off int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.size = max(n.size, off+int64(len(b)))
	for len(b) > 0 {
		number, in := off/pageBytes, off%pageBytes
		part := b[:min(int64(len(b)), pageBytes-in)]
		b, off = b[len(part):], off+int64(len(part))
		if len(part) == pageBytes && isZero(part) {
			n.pages[number] = nil // a prepared log segment costs no memory
			continue
		}
		p := n.pages[number]
		if p == nil {
			p = new(page)
			if err := n.readAtLocked(p[:], number*pageBytes); err != nil {
				return err
			}
			n.pages[number] = p
		}
		copy(p[in:], part)
	}
	return nil
}

func isZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func (n *node) info() vfs.FileInfo {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fileInfo{name: n.name, size: n.size}
}

type fileInfo struct {
	name string
	size int64
}

func (i fileInfo) Name() string           { return i.name }
func (i fileInfo) Size() int64            { return i.size }
func (i fileInfo) Mode() os.FileMode      { return 0o600 }
func (i fileInfo) ModTime() time.Time     { return time.Time{} }
func (i fileInfo) IsDir() bool            { return false }
func (i fileInfo) Sys() any               { return nil }
func (i fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// handle is an open node. The files below stay open until the process ends or
// the garbage collector finds them.
type handle struct {
	*node
	pos int64
}

var _ vfs.File = (*handle)(nil)

func (h *handle) Close() error { return nil }

func (h *handle) ReadAt(b []byte, off int64) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := max(min(int64(len(b)), h.size-off), 0)
	if err := h.readAtLocked(b[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(b)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (h *handle) Read(b []byte) (int, error) {
	n, err := h.ReadAt(b, h.pos)
	h.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (h *handle) Write(b []byte) (int, error) {
	n, err := h.WriteAt(b, h.pos)
	h.pos += int64(n)
	return n, err
}

func (h *handle) WriteAt(b []byte, off int64) (int, error) {
	if err := h.writeAt(b, off); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (h *handle) Stat() (vfs.FileInfo, error)       { return h.info(), nil }
func (h *handle) Sync() error                       { return nil }
func (h *handle) SyncData() error                   { return nil }
func (h *handle) SyncTo(int64) (bool, error)        { return true, nil }
func (h *handle) Preallocate(offset, n int64) error { return nil }
func (h *handle) Prefetch(offset, n int64) error    { return nil }
func (h *handle) Fd() uintptr                       { return vfs.InvalidFd }
