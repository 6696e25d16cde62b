package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const startWithin = 5 * time.Minute

// server is one of the two.
type server struct {
	name string
	addr string
	args func(addr, dir string) []string
	dir  string
	// ready reports whether it serves; nil: it answers a GET.
	ready func(addr string) bool
	cmd   *exec.Cmd
}

func newStrata(o *options, dir string) *server {
	return &server{name: "strata", dir: filepath.Join(dir, "strata"), args: func(addr, dir string) []string {
		return []string{o.strata, "start", "--data", dir, "--resp-addr", addr, "--admin-addr", "off", "--grpc-addr", "off",
			"--log-level", "warn"}
	}}
}

func newRedis(o *options, dir string) *server {
	return &server{name: "redis", dir: filepath.Join(dir, "redis"), args: func(addr, dir string) []string {
		_, port, _ := net.SplitHostPort(addr)
		return []string{o.redis, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--appendonly", "yes",
			"--appendfsync", "always", "--save", "", "--loglevel", "warning"}
	}}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the server and returns how long it took until it answered.
func (s *server) start() (time.Duration, error) {
	if s.addr == "" {
		var err error
		if s.addr, err = freeAddress(); err != nil {
			return 0, err
		}
	}
	ready := s.ready
	if ready == nil {
		ready = answers
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return 0, err
	}
	args := s.args(s.addr, s.dir)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(began) < startWithin {
		if ready(s.addr) {
			return time.Since(began), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s does not answer", s.name)
}

// answers reports whether a read works: a server that is loading answers PING, too.
func answers(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(startWithin)) // a broken connection shows below
	if _, err := io.WriteString(c, "GET missing\r\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && line == "$-1\r\n"
}

func (s *server) stop(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil {
		return err
	}
	err := s.cmd.Wait()
	s.cmd = nil
	if sig == syscall.SIGTERM {
		return err
	}
	return nil
}

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.stop(syscall.SIGKILL)
	}
}

// cpu is the processor time that the server has taken, in seconds.
func (s *server) cpu() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold blanks; utime and stime are the 12th and
	// 13th field behind it, in hundredths of a second on Linux.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, err
}

// field reads a number from a file of /proc/<pid>.
func (s *server) field(file, name string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, file))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", s.cmd.Process.Pid, file, name)
}

func (s *server) residentMB() (float64, error) {
	kb, err := s.field("status", "VmRSS")
	return float64(kb) / 1024, err
}

// load writes keys with values of 100 bytes, pipelined.
func (s *server) load(keys int) error {
	const batch = 1000
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	value := strings.Repeat("x", valueBytes)
	r, reply := bufio.NewReaderSize(c, 64<<10), make([]byte, len("+OK\r\n")*batch)
	var b bytes.Buffer
	for i := 0; i < keys; i += batch {
		b.Reset()
		for j := i; j < i+batch; j++ {
			fmt.Fprintf(&b, "*3\r\n$3\r\nSET\r\n$16\r\nload:%011d\r\n$%d\r\n%s\r\n", j, valueBytes, value)
		}
		if _, err := c.Write(b.Bytes()); err != nil {
			return err
		}
		if _, err := io.ReadFull(r, reply); err != nil {
			return err
		}
		if !bytes.Equal(reply[:5], []byte("+OK\r\n")) {
			return fmt.Errorf("%s: %q", s.name, reply[:60])
		}
	}
	return nil
}
