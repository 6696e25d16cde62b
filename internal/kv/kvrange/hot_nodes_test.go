package kvrange_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/kv"
)

// TestHotKeyElsewhere: a transaction on a key that another node leads has failed. While it
// runs again, one that comes waits, and does not fail.
func TestHotKeyElsewhere(t *testing.T) {
	c := startNodes(t)
	key := []byte("\x04k")
	c.lead(key, 0)
	c.list[1].engine.SetPatience(time.Minute)
	write := func(n *node, runs *int, within func(run int)) error {
		return n.db.NewSession().RunAndWait(kv.Func(func(tx kv.Txn) error {
			*runs++
			v, err := tx.Get(key)
			if err != nil {
				return err
			}
			within(*runs)
			tx.Set(key, append(append([]byte{}, v...), 'x'))
			return nil
		}))
	}
	nothing := func(int) {}
	failed, came, other := 0, 0, 0
	done := make(chan error, 1)
	if err := write(c.list[1], &failed, func(run int) {
		if run == 1 {
			if err := write(c.list[0], &other, nothing); err != nil {
				t.Error(err)
			}
			return
		}
		go func() { done <- write(c.list[1], &came, nothing) }()
		c.until("another one stands in line", func() error {
			if n := c.list[1].engine.Hot(key); n != 2 {
				return errors.Newf("%d stand in line", n)
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if failed != 2 || came != 1 || c.list[1].engine.Hot(key) != 0 {
		t.Errorf("ran %d and %d times", failed, came)
	}
}
