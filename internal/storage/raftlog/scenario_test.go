package raftlog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// TestScenarios runs the files in testdata. The commands:
//
//	open [segment=n] [cache=n]               open or reopen after a crash
//	close                                    orderly
//	append r=n [first=n term=n n=n size=n] [snapshot=n] [commit=n vote=n] [compact=n]
//	remove r=n / lifecycle r=n payload=s / release id=n
//	flush
//	crash                                    all that was not synced is lost
//	kill                                     the process dies, the machine does not
//	tear bytes=n                             the last n bytes of the log become zero
//	flip back=n                              a bit, n bytes before the log's end
//	rmseg seq=n                              a file disappears
//	state / segments / verify
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := &scenario{t: t, fs: vfs.NewCrashableMem()}
		s.o = testOptions(s.fs)
		datadriven.RunTest(t, path, s.run)
		if s.l != nil {
			_ = s.l.Close()
		}
	})
}

type scenario struct {
	t  *testing.T
	fs *vfs.MemFS
	o  Options
	l  *Log
}

func (s *scenario) run(_ *testing.T, d *datadriven.TestData) string {
	var out string
	var err error
	switch d.Cmd {
	case "open":
		out, err = s.open(d)
	case "close":
		err = s.l.Close()
		s.l = nil
	case "append":
		err = s.append(d)
	case "flush":
		err = s.l.Flush()
	case "remove":
		err = s.l.Remove(base.RangeID(arg(d, "r")))
	case "lifecycle":
		var payload string
		d.ScanArgs(s.t, "payload", &payload)
		var id LifecycleID
		id, err = s.l.AppendLifecycle(base.RangeID(arg(d, "r")), LifecycleCreate, []byte(payload))
		out = fmt.Sprintf("id %d\n", id)
	case "release":
		err = s.l.ReleaseLifecycle(LifecycleID(arg(d, "id")))
	case "crash", "kill", "tear", "flip", "rmseg":
		out = s.disaster(d)
	case "state":
		out = s.state()
	case "segments":
		out = s.segments()
	case "verify":
		_, err = Verify(s.fs, "log", func(r Report) {
			out += fmt.Sprintf("%s: %d records, %d entries\n", r.File, r.Records, r.Entries)
		})
	default:
		s.t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	if err != nil {
		out += "error: " + err.Error() + "\n"
	}
	if out == "" {
		out = "ok\n"
	}
	return out
}

func arg(d *datadriven.TestData, name string) (n int) {
	if d.HasArg(name) {
		if _, err := fmt.Sscan(d.CmdArgs[slices.IndexFunc(d.CmdArgs, func(a datadriven.CmdArg) bool {
			return a.Key == name
		})].Vals[0], &n); err != nil {
			panic(err)
		}
	}
	return n
}

func (s *scenario) open(d *datadriven.TestData) (string, error) {
	if n := arg(d, "segment"); n > 0 {
		s.o.SegmentBytes, s.o.FirstSegmentBytes = int64(n), int64(n)
	}
	s.o.FS = s.fs
	l, err := Open(s.o)
	if err != nil {
		return "", err
	}
	s.l = l
	return s.state(), nil
}

func (s *scenario) append(d *datadriven.TestData) error {
	w := Write{Range: base.RangeID(arg(d, "r")), Compact: base.LogIndex(arg(d, "compact"))}
	term := base.Term(arg(d, "term"))
	if n := arg(d, "n"); n > 0 {
		w.Entries = entries(base.LogIndex(arg(d, "first")), term, n, arg(d, "size"))
	}
	if i := arg(d, "snapshot"); i > 0 {
		w.Snapshot = &Mark{Index: base.LogIndex(i), Term: term}
	}
	if d.HasArg("commit") {
		w.HardState = &HardState{Term: term, Vote: base.ReplicaID(arg(d, "vote")), Commit: base.LogIndex(arg(d, "commit"))}
	}
	return s.l.Append(w)
}

// disaster ends the process in one way or another.
func (s *scenario) disaster(d *datadriven.TestData) string {
	if s.l != nil {
		s.l.mu.Lock()
		s.l.mu.err = errors.New("gone")
		s.l.mu.Unlock()
		_ = s.l.Close()
		s.l = nil
	}
	switch d.Cmd {
	case "crash":
		s.fs = s.fs.CrashClone(vfs.CrashCloneCfg{})
		return ""
	case "kill":
		return ""
	}
	files := readAll(s.t, s.fs)
	name, end := lastWritten(files)
	switch d.Cmd {
	case "tear":
		n := arg(d, "bytes")
		clear(files[name][end-n : end])
	case "flip":
		files[name][end-arg(d, "back")] ^= 0x10
	case "rmseg":
		delete(files, segmentName(uint64(arg(d, "seq"))))
	}
	// The new file system knows no unsynced data; that is what a tear is.
	mem := writeAll(s.t, files)
	s.fs = mem
	return ""
}

// lastWritten is where the log ends: behind the last byte that is not zero in the
// last segment that holds records. Recycled files are not used with it.
func lastWritten(files map[string][]byte) (name string, end int) {
	for n, b := range files {
		used := len(bytes.TrimRight(b, "\x00"))
		if strings.HasSuffix(n, segmentSuffix) && used > dataStart && n > name {
			name, end = n, (used+recordAlign-1)/recordAlign*recordAlign
		}
	}
	return name, end
}

func (s *scenario) state() string {
	var b strings.Builder
	for _, r := range s.l.Ranges() {
		g := s.l.Group(r)
		fmt.Fprintf(&b, "range %d: (%d,%d]", r, g.Mark().Index, g.LastIndex())
		es, err := g.Entries(nil, g.FirstIndex(), g.LastIndex()+1, 1<<40)
		if err != nil {
			fmt.Fprintf(&b, " %v", err)
		}
		for i := 0; i < len(es); {
			k := i
			for k < len(es) && es[k].Term == es[i].Term {
				k++
			}
			fmt.Fprintf(&b, " term %d: %d-%d", es[i].Term, es[i].Index, es[k-1].Index)
			i = k
		}
		if hs, ok := g.HardState(); ok {
			fmt.Fprintf(&b, ", term %d vote %d commit %d", hs.Term, hs.Vote, hs.Commit)
		}
		b.WriteString("\n")
	}
	for _, rec := range s.l.Lifecycles() {
		fmt.Fprintf(&b, "lifecycle %d: range %d kind %d %s\n", rec.ID, rec.Range, rec.Kind, rec.Payload)
	}
	if b.Len() == 0 {
		return "empty\n"
	}
	return b.String()
}

func (s *scenario) segments() string {
	names, err := s.fs.List("log")
	must(s.t, err)
	slices.Sort(names)
	m := s.l.Metrics()
	return fmt.Sprintf("%s\nlive bytes %d, moved %d\n", strings.Join(names, "\n"), m.LiveBytes, m.Relocated)
}
