package process

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// Redis is the address of a real redis-server with more options, started for the test;
// where there is none the test is skipped.
func Redis(t testing.TB, options ...string) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	addr := FreeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, append(options, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := &strings.Builder{}
	log := bufio.NewScanner(io.TeeReader(out, said))
	for ready := false; !ready; ready = strings.Contains(log.Text(), "Ready to accept connections") {
		if !log.Scan() {
			t.Fatalf("redis-server has ended:\n%s", said)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return addr
}
