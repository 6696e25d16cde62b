//go:build unix

package cli

import (
	"os"
	"syscall"
)

// mapFile maps a file into memory, which it takes only while it is read, until release.
func mapFile(name string) (b []byte, release func(), err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	return mapOpen(f)
}

// mapOpen is mapFile for one that is open, and may be closed then.
func mapOpen(f *os.File) (b []byte, release func(), err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() == 0 {
		return nil, func() {}, nil
	}
	if b, err = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE); err != nil {
		return nil, nil, err
	}
	return b, func() { _ = syscall.Munmap(b) }, nil
}
