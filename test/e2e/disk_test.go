package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/test/process"
)

const (
	smallDisk  = 192 << 20
	diskWithin = time.Minute
)

// TestFullDisk: writes that add data get a clear error, reads and deletions work,
// and when there is space again everything does. Nothing is lost, also not over
// a crash with the disk full.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	mount(t, disk, smallDisk)
	n := process.Start(t, process.Options{Dir: filepath.Join(disk, "data")})
	c := dial(t, n.RESP)
	value := strings.Repeat("v", 10_000)
	written := 0
	set := func() string {
		v := c.do(fmt.Sprintf("SET key:%d %s", written, value))
		if v.Err() == nil {
			written++
		}
		return string(v.Str)
	}
	for range 200 {
		if r := set(); r != "OK" {
			t.Fatalf("the disk is full after %d keys: %s", written, r)
		}
	}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	var refusal string
	for end := time.Now().Add(diskWithin); refusal == ""; {
		if r := set(); r != "OK" {
			refusal = r
		} else if time.Now().After(end) {
			t.Fatalf("%d keys were written to a full disk", written)
		}
	}
	t.Logf("after %d keys: %s", written, refusal)
	if !strings.Contains(refusal, "space") {
		t.Errorf("the error is not clear: %s", refusal)
	}
	has := func(from int) {
		t.Helper()
		for i := from; i < written; i++ {
			if v := c.do(fmt.Sprintf("GET key:%d", i)); string(v.Str) != value {
				t.Fatalf("key:%d has %d bytes", i, len(v.Str))
			}
		}
	}
	has(0)
	c.expect("DEL key:0", "(integer) 1")
	c.expect("GET key:0", "(nil)")

	c.expect("DEL key:1", "(integer) 1")
	has(2)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(diskWithin); set() != "OK"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("writes are refused with space on the disk")
		}
	}
	n.Kill()
	n = process.Start(t, process.Options{Dir: n.Dir})
	c = dial(t, n.RESP)
	has(2)
	c.expect("EXISTS key:0 key:1", "(integer) 0")
	if code := n.Stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, n.Log())
	}
	if code, out, _ := process.Run(t, "check", n.Dir); code != 0 {
		t.Errorf("strata check: %s", out)
	}
}

// TestStartOnFullDisk: a crash on a full disk loses nothing. The node starts
// again on it, or says that it has no space and starts when it has.
func TestStartOnFullDisk(t *testing.T) {
	disk := t.TempDir()
	mount(t, disk, smallDisk)
	n := process.Start(t, process.Options{Dir: filepath.Join(disk, "data")})
	c := dial(t, n.RESP)
	for i := range 500 {
		c.expect(fmt.Sprintf("SET key:%d value", i), "OK")
	}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	n.Kill()
	n, err := process.Try(t, process.Options{Dir: n.Dir})
	if err != nil && !strings.Contains(n.Log(), "no space left") {
		t.Errorf("the message does not say what is wrong: %s", n.Log())
	}
	t.Logf("a start on a full disk: %v", err)
	n.Kill()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	n = process.Start(t, process.Options{Dir: n.Dir})
	c = dial(t, n.RESP)
	for i := range 500 {
		c.expect(fmt.Sprintf("GET key:%d", i), `"value"`)
	}
}

// fill takes all space that is left.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size >= 1<<12; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// TestStopWithoutItsData: a node whose data directory is gone ends when it is told to.
func TestStopWithoutItsData(t *testing.T) {
	t.Parallel()
	n := process.Start(t, process.Options{})
	if v := dial(t, n.RESP).do("SET k " + strings.Repeat("v", 10_000)); v.Err() != nil {
		t.Fatal(v.Err())
	}
	if err := os.RemoveAll(n.Dir); err != nil {
		t.Fatal(err)
	}
	_ = n.Stop() // which complains
}
