package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratadb/strata/test/process"
)

// killedStore is a data directory whose node was killed after some writes.
func killedStore(t *testing.T, keys int) string {
	t.Helper()
	n := process.Start(t, process.Options{})
	c := dial(t, n.RESP)
	for i := range keys {
		c.expect(fmt.Sprintf("SET key:%d value:%d", i, i), "OK")
	}
	n.Kill()
	return n.Dir
}

// files is the content of a directory and all below it.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func firstSegment(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no log segments: %v", err)
	}
	slices.Sort(names)
	return names[0]
}

// recordsEnd is the offset behind the last byte of a segment that is not zero.
func recordsEnd(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }

// flipByte changes a bit in the middle of a segment's records.
func flipByte(t *testing.T, segment string) {
	t.Helper()
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	const recordsBegin = 4096
	b[(recordsBegin+recordsEnd(b))/2] ^= 0x40
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedByte: damage in the middle of the log keeps the node from starting;
// it says which file and what to do, and changes nothing.
func TestFlippedByte(t *testing.T) {
	dir := killedStore(t, 200)
	segment := firstSegment(t, dir)
	flipByte(t, segment)
	before := files(t, dir)
	n, err := process.Try(t, process.Options{Dir: dir})
	if err == nil {
		t.Fatal("the node started on a damaged log")
	}
	n.Kill()
	for _, want := range []string{filepath.Base(segment), "corrupt", "backup"} {
		if !strings.Contains(n.Log(), want) {
			t.Errorf("the message does not say %q: %s", want, n.Log())
		}
	}
	t.Logf("%s", n.Log())
	after := files(t, dir)
	for name := range before {
		if after[name] != before[name] {
			t.Errorf("%s was changed", name)
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			t.Errorf("%s was made", name)
		}
	}
	if code, out, _ := process.Run(t, "check", dir); code != 1 || !strings.Contains(out, filepath.Base(segment)) {
		t.Errorf("strata check: exit code %d\n%s", code, out)
	}
}

// TestTornTail: the end of the log is what an interrupted write has left. The node
// starts and has everything before it.
func TestTornTail(t *testing.T) {
	const keys = 50
	dir := killedStore(t, keys)
	segment := firstSegment(t, dir)
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	// The last bytes of the last record become zeros, as if they had never
	// reached the disk.
	end := recordsEnd(b)
	clear(b[end-5 : end])
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	n := process.Start(t, process.Options{Dir: dir})
	c := dial(t, n.RESP)
	for i := range keys - 1 {
		c.expect(fmt.Sprintf("GET key:%d", i), fmt.Sprintf(`"value:%d"`, i))
	}
	c.expect("SET after x", "OK")
	n.Kill()
	n = process.Start(t, process.Options{Dir: dir})
	dial(t, n.RESP).expect("GET after", `"x"`)
}
