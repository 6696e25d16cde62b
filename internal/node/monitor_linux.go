package node

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/cockroachdb/errors"
)

// The runtime's monitor looks every 20 µs, 70 with the slack that the kernel gives to timers, whether a
// thread holds its processor in a system call, as long as any does: while the log is
// flushed. In a node that commits batch after batch this was a sixth of its processor time.
// With monitorSlack it looks every half millisecond. A processor that a thread holds meanwhile is the
// one that there is to spare.
const monitorSlack = 500 * time.Microsecond

// easeMonitor gives the monitor's thread its slack. Without the right to do so for another
// thread (CAP_SYS_NICE) everything stays as it is.
func easeMonitor() error {
	thread, err := monitorThread()
	if err != nil {
		return errors.Wrap(err, "threads of this process")
	}
	slack := strconv.FormatInt(monitorSlack.Nanoseconds(), 10)
	return os.WriteFile(slackFile(thread), []byte(slack), 0)
}

func slackFile(thread int) string { return fmt.Sprintf("/proc/%d/timerslack_ns", thread) }

// monitorThread is the second thread of the process: the runtime starts its monitor before all others.
func monitorThread() (int, error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	second := 0
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return 0, err
		}
		if id > os.Getpid() && (second == 0 || id < second) {
			second = id
		}
	}
	if second == 0 {
		return 0, errors.New("none but the first")
	}
	return second, nil
}
