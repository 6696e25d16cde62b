package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratadb/strata/test/process"
)

// TestDemo: three nodes in one process, which leave nothing behind.
func TestDemo(t *testing.T) {
	cmd := exec.Command(process.Binary(t), "demo", "--port", "0")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var log strings.Builder
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*replyWithin, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // with its stacks in the log
	defer late.Stop()
	var resp []string
	var dir, last string
	for lines := bufio.NewScanner(stdout); !strings.HasPrefix(last, "ready") && lines.Scan(); {
		last = lines.Text()
		if found := regexp.MustCompile(`resp=(\S+) admin=\S+ grpc=\S+`).FindStringSubmatch(last); found != nil {
			resp = append(resp, found[1])
		}
		if found := regexp.MustCompile(`data in (\S+), removed`).FindStringSubmatch(last); found != nil {
			dir = found[1]
		}
	}
	if len(resp) != 3 || dir == "" {
		_ = cmd.Process.Kill()
		t.Fatalf("it says %q last, %v, %q\n%s", last, cmd.Wait(), resp, log.String())
	}
	dial(t, resp[1]).expect("SET k v", "OK")
	dial(t, resp[2]).expect("GET k", `"v"`)
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}
