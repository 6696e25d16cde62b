// Package identity keeps the file that says which store a data directory is, and
// the lock that lets one process in.
//
// The file STRATA is a line of JSON and a line with its CRC-32C. It is written to
// a temporary file, synced, renamed and its directory synced, so that a crash
// leaves the old one or the new one. A store of a newer format is refused.
package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

const (
	// FileName and LockName are the files in the data directory.
	FileName = "STRATA"
	LockName = "LOCK"
	// DamagedName is the file of a node that has found its store damaged.
	DamagedName = "DAMAGED"

	// ReservedName is the file of a store that asks a cluster for a place, and does not
	// exist yet.
	ReservedName = "JOINING"

	// FormatVersion is the layout of a data directory that this binary writes.
	FormatVersion = 2

	fileBytesMax = 4 << 10
)

// ErrNotExist: the directory holds no identity; it is not a store yet.
var ErrNotExist = errors.New("directory holds no Strata store")

// Identity names a store.
type Identity struct {
	Store   base.StoreID
	Cluster [16]byte    // zero until the store has joined one
	Node    base.NodeID // zero until the cluster has given one
	Format  int         // layout of the data directory
}

// New is an identity with a random store id and the current format.
func New() Identity {
	id := Identity{Format: FormatVersion}
	_, _ = rand.Read(id.Store[:]) // never fails
	return id
}

// NewFrom is New with ids made from random, so that a run can be repeated.
func NewFrom(random func() uint64) Identity {
	id := Identity{Format: FormatVersion}
	binary.LittleEndian.PutUint64(id.Store[:8], random())
	binary.LittleEndian.PutUint64(id.Store[8:], random())
	return id
}

type file struct {
	Format  int    `json:"format"`
	Store   string `json:"store"`
	Cluster string `json:"cluster"`
	Node    uint64 `json:"node"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode is the content of the file.
func (id Identity) Encode() []byte {
	line, err := json.Marshal(file{
		Format: id.Format, Store: hex.EncodeToString(id.Store[:]),
		Cluster: hex.EncodeToString(id.Cluster[:]), Node: uint64(id.Node),
	})
	if err != nil {
		panic(errors.NewAssertionErrorWithWrappedErrf(err, "encoding an identity"))
	}
	return fmt.Appendf(nil, "%s\ncrc32c %08x\n", line, crc32.Checksum(line, castagnoli))
}

// Decode is the reverse of Encode. Damage gives base.ErrCorruption.
func Decode(b []byte) (id Identity, err error) {
	line, sum, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != fmt.Sprintf("crc32c %08x\n", crc32.Checksum(line, castagnoli)) {
		return id, errors.Wrapf(base.ErrCorruption, "the file %s fails its checksum", FileName)
	}
	var f file
	if err := json.Unmarshal(line, &f); err != nil {
		return id, errors.Wrapf(base.ErrCorruption, "the file %s cannot be parsed: %v", FileName, err)
	}
	if f.Format > FormatVersion {
		return id, errors.Newf("the store has format version %d, this binary knows up to %d: start a newer binary",
			f.Format, FormatVersion)
	}
	id.Format, id.Node = f.Format, base.NodeID(f.Node)
	if !decodeHex(id.Store[:], f.Store) || !decodeHex(id.Cluster[:], f.Cluster) || f.Format < 1 {
		return Identity{}, errors.Wrapf(base.ErrCorruption, "the file %s holds an impossible value", FileName)
	}
	return id, nil
}

func decodeHex(dst []byte, s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && copy(dst, b) == len(b) && len(b) == len(dst)
}

// Load reads the identity of dir: ErrNotExist if there is none.
func Load(fs vfs.FS, dir string) (Identity, error) { return load(fs, dir, FileName) }

func load(fs vfs.FS, dir, name string) (Identity, error) {
	f, err := fs.Open(fs.PathJoin(dir, name))
	if oserror.IsNotExist(err) {
		return Identity{}, errors.Wrap(ErrNotExist, dir)
	}
	if err != nil {
		return Identity{}, errors.Wrap(err, "opening the store's identity")
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, fileBytesMax))
	if err != nil {
		return Identity{}, errors.Wrap(err, "reading the store's identity")
	}
	id, err := Decode(b)
	return id, errors.Wrap(err, dir)
}

// Reserve is the identity that a store in dir, which need not exist yet, is going to have:
// the same one whenever it is asked, until the store exists.
func Reserve(fs vfs.FS, dir string) (Identity, error) {
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return Identity{}, errors.Wrapf(err, "making the data directory %s", dir)
	}
	id, err := load(fs, dir, ReservedName)
	if errors.Is(err, ErrNotExist) {
		id = New()
		err = Replace(fs, dir, ReservedName, id.Encode())
	}
	return id, errors.Wrap(err, "reserving an identity")
}

// Release removes what Reserve has left, once the store exists.
func Release(fs vfs.FS, dir string) error {
	err := fs.Remove(fs.PathJoin(dir, ReservedName))
	if oserror.IsNotExist(err) {
		return nil
	}
	return errors.Wrap(err, "releasing a reserved identity")
}

// Save writes the identity of dir, which must exist, in place of an earlier one.
func Save(fs vfs.FS, dir string, id Identity) error {
	return errors.Wrap(Replace(fs, dir, FileName, id.Encode()), "the store's identity")
}

// Replace makes b, durably, the content of a file in dir; a crash leaves the old one
// or the new one.
func Replace(fs vfs.FS, dir, name string, b []byte) error {
	path := fs.PathJoin(dir, name)
	if err := writeFile(fs, path+".tmp", b); err != nil {
		return errors.Wrap(err, "writing")
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return errors.Wrap(err, "renaming")
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return errors.Wrap(err, "opening the data directory")
	}
	err = d.Sync()
	return errors.Wrap(errors.CombineErrors(err, d.Close()), "syncing the data directory")
}

func writeFile(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.CombineErrors(err, f.Close())
}

// Lock keeps other processes out of dir, which must exist, until the result is closed.
func Lock(fs vfs.FS, dir string) (io.Closer, error) {
	c, err := fs.Lock(fs.PathJoin(dir, LockName))
	return c, errors.Wrapf(err, "the data directory %s is used by another process", dir)
}
