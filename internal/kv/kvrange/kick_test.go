package kvrange

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
)

// TestKick: those ranges are kicked in which something was left to it, and no others.
func TestKick(t *testing.T) {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	e := New(s)
	session := kv.New(e, time.Now).NewSession()
	session.Quiet = true
	write := func(keys ...string) (last base.Ticket) {
		t.Helper()
		for _, k := range keys {
			ticket, err := session.Run(kv.Func(func(tx kv.Txn) error {
				_, err := tx.Get([]byte(k))
				tx.Set([]byte(k), nil)
				return err
			}))
			if err != nil {
				t.Fatal(err)
			}
			last = ticket
		}
		return last
	}
	kicked := func(ticket base.Ticket) {
		t.Helper()
		done := make(told, 1)
		e.Kick()
		if ticket.Log.Notify(ticket.Pos, done) {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("nobody commits")
			}
		}
		if len(e.quiet.mu.ranges) != 0 || e.quiet.some.Load() {
			t.Errorf("%d ranges are left", len(e.quiet.mu.ranges))
		}
	}
	last := write("\x04a", "\x04q")
	if len(e.quiet.mu.ranges) != 0 {
		t.Errorf("%d ranges are noted where there is one", len(e.quiet.mu.ranges))
	}
	kicked(last)
	for i, k := range []string{"\x04d", "\x04m", "\x04p"} {
		id, _ := s.Range([]byte(k)).ID()
		if _, _, err := s.Split(context.Background(), id, []byte(k), base.RangeID(2+i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		last = write("\x04a", "\x04n", "\x04b", "\x04o", "\x04z", "\x04x")
		if len(e.quiet.mu.ranges) != 3 {
			t.Errorf("%d ranges are noted, want 3", len(e.quiet.mu.ranges))
		}
		kicked(last)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

type told chan error

func (c told) Committed(err error) { c <- err }
