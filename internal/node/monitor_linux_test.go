package node

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// switches is how often a thread has gone to sleep.
func switches(t *testing.T, thread int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", thread))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMonitorThread: the thread that is eased is the one that looks after a goroutine that neither
// waits nor calls anything.
func TestMonitorThread(t *testing.T) {
	thread, err := monitorThread()
	if err != nil {
		t.Fatal(err)
	}
	before, looked := switches(t, thread), 0
	for began := time.Now(); looked < 10 && time.Since(began) < time.Minute; {
		for spun := time.Now(); time.Since(spun) < 100*time.Millisecond; {
		}
		looked = switches(t, thread) - before
	}
	if looked < 10 {
		t.Errorf("thread %d has slept %d times in a minute", thread, looked)
	}
	if err := easeMonitor(); errors.Is(err, os.ErrPermission) {
		t.Skip("not allowed:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(slackFile(thread))
	if slack := strings.TrimSpace(string(b)); err != nil || slack != strconv.Itoa(int(monitorSlack)) {
		t.Errorf("slack %q, %v", slack, err)
	}
}
