package identity

import (
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

func TestSaveLoad(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if _, err := Load(fs, ""); !errors.Is(err, ErrNotExist) {
		t.Fatalf("load of nothing: %v", err)
	}
	id := New()
	for _, node := range []base.NodeID{0, 7} {
		id.Node = node
		if err := Save(fs, "", id); err != nil {
			t.Fatal(err)
		}
		got, err := Load(fs.CrashClone(vfs.CrashCloneCfg{}), "")
		if err != nil || got != id {
			t.Fatalf("got %+v %v, want %+v", got, err, id)
		}
	}
}

func TestNewerFormatRefused(t *testing.T) {
	id := New()
	id.Format = FormatVersion + 1
	if _, err := Decode(id.Encode()); err == nil || errors.Is(err, base.ErrCorruption) {
		t.Fatalf("newer format: %v", err)
	}
}

func TestEveryFlipFound(t *testing.T) {
	good := New().Encode()
	for i := range good {
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << bit
			if _, err := Decode(bad); !errors.Is(err, base.ErrCorruption) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
}

func TestLock(t *testing.T) {
	fs, dir := vfs.Default, t.TempDir()
	c, err := Lock(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(fs, dir); err == nil {
		t.Fatal("locked twice")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(New().Encode())
	f.Add([]byte("{}\ncrc32c 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := Decode(b); err == nil {
			if again, err := Decode(id.Encode()); err != nil || again != id {
				t.Fatalf("%+v became %+v (%v)", id, again, err)
			}
		}
	})
}

// TestReserve: a store that was interrupted before it existed asks for the same place again.
func TestReserve(t *testing.T) {
	fs := vfs.NewCrashableMem()
	first, err := Reserve(fs, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Reserve(fs.CrashClone(vfs.CrashCloneCfg{}), ""); err != nil || again != first {
		t.Errorf("%+v, %v; first it was %+v", again, err, first)
	}
	if _, err := Load(fs, ""); !errors.Is(err, ErrNotExist) {
		t.Errorf("a reserved store exists: %v", err)
	}
	for range 2 {
		if err := Release(fs, ""); err != nil {
			t.Fatal(err)
		}
	}
	if other, err := Reserve(fs, ""); err != nil || other == first {
		t.Errorf("%+v, %v", other, err)
	}
}
