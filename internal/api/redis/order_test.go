package redis

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/hashslot"
)

// TestPipelineOverRangesInOrder: nobody sees a later write of a pipeline without an earlier
// one, whatever ranges they go to.
func TestPipelineOverRangesInOrder(t *testing.T) {
	s := start(t, Options{DB: rangesDB(t, time.Now)})
	var keys []string // by turns on both sides of a cut of database 0
	for i := 0; len(keys) < 6; i++ {
		key := fmt.Sprintf("k%d", i)
		if low := hashslot.Slot([]byte(key)) < 8000; low == (len(keys)%2 == 0) {
			keys = append(keys, key)
		}
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		c := s.dial(t)
		readers.Go(func() {
			for !done.Load() {
				c.send(arrays("MGET " + strings.Join(keys, " ")))
				c.through(fmt.Sprintf("*%d\r\n", len(keys)))
				before := -1
				for i := range keys {
					n := 0
					if c.through("\r\n") != "$-1\r\n" {
						n, _ = strconv.Atoi(strings.TrimSpace(c.through("\r\n")))
					}
					if i > 0 && n > before {
						t.Errorf("write %d to key %d is seen, to the one before only %d", n, i, before)
						return
					}
					before = n
				}
			}
		})
	}
	w := s.dial(t)
	for round := range 400 {
		var pipeline []string
		for _, key := range keys {
			pipeline = append(pipeline, fmt.Sprintf("SET %s %d", key, round+1))
		}
		w.send(arrays(strings.Join(pipeline, "|")))
		w.expect(strings.Repeat("+OK\r\n", len(keys)))
	}
	done.Store(true)
	readers.Wait()
}
