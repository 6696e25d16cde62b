package raftlog

import (
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// TestModel runs random histories over several groups against the model, with
// tiny segments, so that rolling, moving and recycling happen all the time, and
// with restarts of all kinds in between.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fs := vfs.NewMem()
		o := testOptions(fs)
		o.SegmentBytes = int64(rapid.IntRange(12, 40).Draw(rt, "segment")) << 10
		o.FirstSegmentBytes = 12 << 10
		o.CacheBytes = rapid.SampledFrom([]int64{-1, 1 << 10, 1 << 20}).Draw(rt, "cache")
		d := newDriver(t, mustOpen(t, o), rapid.Uint64().Draw(rt, "seed"))
		d.maxLen = rapid.SampledFrom([]int{10, 500, 3000}).Draw(rt, "len")
		for range rapid.IntRange(1, 120).Draw(rt, "steps") {
			d.step()
			switch rapid.IntRange(0, 15).Draw(rt, "then") {
			case 0, 1, 2, 3:
				d.flush()
			case 4:
				must(t, d.log.Close())
				d.log = mustOpen(t, o)
				d.flushed()
			case 5: // killed right after a flush
				d.flush()
				d.log.mu.Lock()
				d.log.mu.err = errors.New("killed")
				d.log.mu.Unlock()
				_ = d.log.Close()
				d.log = mustOpen(t, o)
			}
			if diff := d.m.diff(d.log); diff != "" {
				rt.Fatal(diff)
			}
		}
		must(t, d.log.Close())
	})
}
