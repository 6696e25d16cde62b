package oracle

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

type fakeClock struct{ micros int64 }

func (c *fakeClock) Now() time.Time    { return time.UnixMicro(c.micros) }
func (c *fakeClock) UnixMicros() int64 { return c.micros }

func (c *fakeClock) Elapsed() time.Duration { return time.Duration(c.micros) * time.Microsecond }

func TestStampsIncreaseOverCrashAndClockJump(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("d", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("")
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sync(); err != nil {
		t.Fatal(err)
	}
	clk := &fakeClock{micros: 1_000_000_000}
	var last base.Stamp
	for round := range 20 {
		o, err := Open(Options{FS: fs, Dir: "d", Clock: clk})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			clk.micros += int64(round * 20_000)
			s, err := o.Next()
			if err != nil {
				t.Fatal(err)
			}
			if s <= last {
				t.Fatalf("round %d: stamp %d after %d", round, s, last)
			}
			last = s
		}
		o.save.wait.Wait()
		if round%3 == 0 {
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
		clk.micros -= 5_000_000 // the wall clock jumps back
	}
}

func TestCleanStopNeedsNoWaitAndCrashWaitsAtMostReach(t *testing.T) {
	fs := vfs.NewMem()
	clk := &fakeClock{micros: 1_000_000_000}
	o, err := Open(Options{FS: fs, Dir: "", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Next(); err != nil {
		t.Fatal(err)
	}
	crashed, err := Open(Options{FS: fs, Dir: "", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if d := crashed.Ahead(); d <= 0 || d > Reach {
		t.Fatalf("after a crash the oracle is %v ahead", d)
	}
	o, err = Open(Options{FS: fs, Dir: "", Clock: &fakeClock{micros: clk.micros + 3_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Next(); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	clk.micros += 3_000_010
	if o, err = Open(Options{FS: fs, Dir: "", Clock: clk}); err != nil {
		t.Fatal(err)
	}
	if d := o.Ahead(); d != 0 {
		t.Fatalf("after a clean stop the oracle is %v ahead", d)
	}
}

func TestTornSlotIsSurvivedAndDamageIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	clk := &fakeClock{micros: 1_000_000_000}
	o, err := Open(Options{FS: fs, Dir: "", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	s, err := o.Next()
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(slot int64) {
		f, err := fs.OpenReadWrite(FileName, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{0xFF}, slot*slotBytes+9); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	spoil(o.save.slot) // the older slot, which the next write would replace
	again, err := Open(Options{FS: fs, Dir: "", Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if next, err := again.Next(); err != nil || next <= s {
		t.Fatalf("stamp %d after %d, %v", next, s, err)
	}
	spoil(0)
	spoil(1)
	if _, err := Open(Options{FS: fs, Dir: "", Clock: clk}); err == nil {
		t.Fatal("a file with both slots damaged was accepted")
	}
}
