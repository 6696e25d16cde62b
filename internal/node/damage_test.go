package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/identity"
)

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPutAside: wherever it was interrupted, the damaged store is out of the way in
// the end, its replacement is not, and nobody can take what was put aside for a store.
func TestPutAside(t *testing.T) {
	old, next := identity.New(), base.StoreID{7}
	for moved := range 4 {
		dir := t.TempDir()
		aside := filepath.Join(dir, asideName, old.Store.String())
		if err := identity.Save(vfs.Default, dir, old); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"log/1.log", "state/2.sst", identity.LockName, peersName, savesName + "/dump.rdb"} {
			write(t, filepath.Join(dir, name))
		}
		if err := (&damage{Found: "a bit", Old: old.Store.String()}).write(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(aside, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{identity.FileName, "log", "state"}[:moved] {
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name+".damaged")); err != nil {
				t.Fatal(err)
			}
		}
		if err := putAside(dir, aside, next); err != nil {
			t.Fatal(err)
		}
		want := []string{damagedName, identity.LockName, peersName, asideName, savesName}
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("%d moved before: left are %q", moved, got)
		}
		if got := names(t, aside); !slices.Equal(got, []string{identity.FileName + ".damaged", "log.damaged", "state.damaged"}) {
			t.Errorf("%d moved before: put aside are %q", moved, got)
		}

		// The replacement is being made, then it is there: both stay where they are.
		for _, step := range []func(){
			func() { write(t, filepath.Join(dir, "NEW")); write(t, filepath.Join(dir, "log/1.log")) },
			func() {
				id := identity.New()
				id.Store = next
				if err := identity.Save(vfs.Default, dir, id); err != nil {
					t.Fatal(err)
				}
			},
		} {
			step()
			before := names(t, dir)
			if err := putAside(dir, aside, next); err != nil {
				t.Fatal(err)
			}
			if got := names(t, dir); !slices.Equal(got, before) {
				t.Errorf("of the replacement %q are left of %q", got, before)
			}
		}
	}
}

func TestDamageFile(t *testing.T) {
	dir := t.TempDir()
	if _, found, err := readDamage(dir); found || err != nil {
		t.Errorf("no file: %v, %v", found, err)
	}
	d := damage{Found: "a bit", Old: "ab"}
	d.Place.Node, d.Place.Cluster, d.Place.Store = 4, [16]byte{1, 2}, base.StoreID{3}
	if err := d.write(dir); err != nil {
		t.Fatal(err)
	}
	if got, found, err := readDamage(dir); got != d || !found || err != nil || !got.decided() {
		t.Errorf("%+v, %v, %v", got, found, err)
	}
	write(t, filepath.Join(dir, damagedName))
	if _, found, err := readDamage(dir); !found || err == nil {
		t.Error("a file that is not understood is taken for none")
	}
}
