package e2e

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/stratadb/strata/test/process"
)

func randomName() string { return rand.Text() }

// TestHotKeys: fifty clients on one counter, one hash and one string see no error
// and lose nothing.
func TestHotKeys(t *testing.T) {
	const clients, each = 50, 200
	n := process.Start(t, process.Options{})
	ctx, c := context.Background(), client(t, n.RESP)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				err := c.Incr(ctx, "counter").Err()
				if err == nil {
					err = c.HIncrBy(ctx, "hash", "field", 2).Err()
				}
				if err == nil {
					err = c.Append(ctx, "string", "x").Err()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if v, err := c.Get(ctx, "counter").Int(); err != nil || v != clients*each {
		t.Errorf("the counter is %d, %v", v, err)
	}
	if v, err := c.HGet(ctx, "hash", "field").Int(); err != nil || v != 2*clients*each {
		t.Errorf("the field is %d, %v", v, err)
	}
	if v, err := c.StrLen(ctx, "string").Result(); err != nil || v != clients*each {
		t.Errorf("the string has %d bytes, %v", v, err)
	}
}
