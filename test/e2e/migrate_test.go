package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratadb/strata/test/process"
)

// TestMigrateByHand types what docs/operate/migrate.md shows.
func TestMigrateByHand(t *testing.T) {
	source, n := process.Redis(t), process.Start(t, process.Options{})
	ctx := context.Background()
	old := client(t, source)
	for i := range 500 {
		old.Set(ctx, fmt.Sprint("k", i), i, 0)
	}
	listen, admin := process.FreeAddress(t), process.FreeAddress(t)
	state := filepath.Join(t.TempDir(), "state.json")
	args := []string{"proxy", "-listen", listen, "-primary", source, "--secondary", n.RESP, "--metrics", admin, "--state", state}
	stop := launch(t, args...)
	c := client(t, listen)
	strata := func(wantCode int, want string, args ...string) {
		t.Helper()
		code, stdout, stderr := process.Run(t, append(args, "--metrics", admin)...)
		if code != wantCode || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%v: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
	strata(0, "redis-only", "proxy", "mode")
	strata(0, "dual-write-shadow", "proxy", "mode", "dual-write-shadow")
	strata(1, "not complete", "proxy", "mode", "strata-primary")
	c.Incr(ctx, "k1")
	strata(0, "500 keys copied", "proxy", "sync", "-wait")
	c.Incr(ctx, "k2")
	strata(0, "differences   0", "proxy", "report")
	strata(0, `"complete": true`, "proxy", "report", "--json")
	strata(0, "clients held", "proxy", "mode", "strata-primary")
	c.Incr(ctx, "k3")
	if log := stop(); !strings.Contains(log, "differences   0") {
		t.Errorf("the report was not printed at the end:\n%s", log)
	}
	for i, addr := range []string{source, n.RESP} {
		for k, want := range map[string]string{"k1": "2", "k2": "3", "k3": "4", "k4": "4"} {
			if v := client(t, addr).Get(ctx, k).Val(); v != want {
				t.Errorf("side %d: %s is %s, want %s", i, k, v, want)
			}
		}
	}
	launch(t, args...) // begins in the mode of the state
	strata(0, "strata-primary", "proxy", "mode")

	code, out, _ := process.Run(t, "import", "redis", "--from", source, "--to", n.RESP, "--verify-only", "-q")
	if code != 0 || !strings.Contains(out, "500 keys, 0 are different") {
		t.Errorf("verify: exit code %d, %s", code, out)
	}
	old.Save(ctx)
	dump := filepath.Join(old.ConfigGet(ctx, "dir").Val()["dir"], "dump.rdb")
	second := process.Start(t, process.Options{})
	code, out, _ = process.Run(t, "import", "redis", "--from-rdb", dump, "--to", second.RESP)
	if code != 0 || !strings.Contains(out, "copied     500 keys") {
		t.Errorf("import: exit code %d, %s", code, out)
	}
	second.Stop()
	code, _, log := process.Run(t, "import", "redis", "--from-rdb", dump, "--to", second.RESP)
	if code != 1 || !strings.Contains(log, "connecting to the target") {
		t.Errorf("without a target: exit code %d, %s", code, log)
	}
}

// launch runs a command until the end of the test, or until stop, which answers its log.
func launch(t *testing.T, args ...string) (stop func() string) {
	t.Helper()
	cmd := exec.Command(process.Binary(t), args...)
	var log bytes.Buffer
	cmd.Stderr, cmd.Env = &log, []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() string {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			killing := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
			defer killing.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %v\n%s", args, err, log.String())
			}
		}
		return log.String()
	}
	t.Cleanup(func() { stop() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready ") {
		t.Fatalf("%q %v\n%s", line, err, log.String())
	}
	return stop
}
