package prepared

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// schedules are the operations of the files in testdata/schedules.
func schedules() map[string][]proc {
	return map[string][]proc{
		"undecided-lock-passed":   undecidedLockPassed(),
		"stamped-write-in-flight": stampedWriteInFlight(),
		"prefetch":                stampPrefetched(),
		"lost-update":             lostUpdate(),
		"no-read-locks":           readLocks(),
	}
}

// TestSchedules runs the schedules that random search finds rarely, with the bug
// and without. A line of a schedule is an event; one that is not possible is
// passed over. What is left in the end happens in a fixed order.
//
//	step X                      the process goes on
//	deliver X a|b               its oldest message to the range arrives
//	log a|b close|issue|learn|commit|apply...
func TestSchedules(t *testing.T) {
	datadriven.Walk(t, "testdata/schedules", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			ops, ok := schedules()[d.Cmd]
			if !ok {
				t.Fatalf("no such schedule: %s", d.Cmd)
			}
			var f Faults
			for _, a := range d.CmdArgs {
				reflect.ValueOf(&f).Elem().FieldByName(a.Key).SetBool(true)
			}
			var out []string
			w := newWorld(f, true)
			w.procs = slices.Clone(ops)
			w.trace = func(line string) { out = append(out, line) }
			for _, line := range strings.Split(d.Input, "\n") {
				w.script(strings.Fields(line))
			}
			out = append(out, "the rest:")
			for list := w.events(nil); len(list) > 0; list = w.events(nil) {
				w.do(list[0])
			}
			if err := w.verdict(); err != nil {
				return strings.Join(append(out, err.Error()), "\n") + "\n"
			}
			return strings.Join(append(out, "an order explains it"), "\n") + "\n"
		})
	})
}

// script makes the events of a line happen.
func (w *world) script(line []string) {
	for _, want := range line[max(1, min(2, len(line)-1)):] {
		list := w.events(nil)
		i := slices.IndexFunc(list, func(e event) bool { return w.named(e, line, want) })
		if i < 0 {
			w.logf("not possible: %s", strings.Join(line, " "))
			return
		}
		w.do(list[i])
	}
}

// named reports whether the event is what a line of a schedule says.
func (w *world) named(e event, line []string, want string) bool {
	switch line[0] {
	case "step":
		return e.kind == evStep && w.procs[e.i].op.name == want
	case "deliver":
		return e.kind == evDeliver && w.procs[w.msgs[e.i].proc].op.name == line[1] && rangeName(w.msgs[e.i].rng) == want
	}
	names := map[string]eventKind{"close": evClose, "issue": evIssue, "learn": evLearn, "commit": evCommit, "apply": evApply}
	return e.kind == names[want] && rangeName(e.i) == line[1]
}
