package recovery_test

import (
	"strings"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/check"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/recovery"
	"github.com/stratadb/strata/internal/storage/identity"
)

// TestRefused: what cannot be believed, is foreign, or needs no recovery stays as it is.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(fs vfs.FS) error
		want  error
		says  string
	}{
		"alone":    {func(vfs.FS) error { return nil }, store.ErrAlone, "start it"},
		"no store": {func(fs vfs.FS) error { return fs.RemoveAll("data") }, check.ErrNotAStore, "no Strata store"},
		"noted":    {func(fs vfs.FS) error { return identity.Replace(fs, "data", identity.DamagedName, []byte("{}")) }, recovery.ErrDamaged, "DAMAGED"},
		"identity": {func(fs vfs.FS) error { return identity.Replace(fs, "data", identity.FileName, []byte("{}")) }, recovery.ErrDamaged, "checksum"},
		"state":    {func(fs vfs.FS) error { return fs.RemoveAll("data/state") }, recovery.ErrDamaged, "another survivor"},
		"newer": {func(fs vfs.FS) error {
			id := identity.New()
			id.Format = identity.FormatVersion + 1
			return identity.Save(fs, "data", id)
		}, nil, "newer binary"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := store.Open(store.Options{FS: fs, Dir: "data", SegmentBytes: 1 << 20, OnFatal: func(err error) { t.Error(err) }})
			if err == nil {
				err = s.Close()
			}
			if err == nil {
				err = c.spoil(fs)
			}
			if err != nil {
				t.Fatal(err)
			}
			o := recovery.Options{FS: fs, Dir: "data"}
			_, looked := recovery.Look(o)
			_, done := recovery.Recover(o)
			for _, err := range []error{looked, done} {
				if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
			}
			if rec, err := store.ReadRecovery(fs, "data"); rec != nil || err != nil {
				t.Errorf("it was decided: %+v, %v", rec, err)
			}
		})
	}
}
