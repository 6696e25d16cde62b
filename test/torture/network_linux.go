package torture

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stratadb/strata/test/process"
)

// inside marks the process that runs within a network of its own.
const inside = "STRATA_TORTURE_INSIDE"

// enclose runs the test again in a new network and reports whether it could; its result is
// that of t. Inside it only prepares the network, and reports false.
func enclose(t *testing.T) (enclosed bool) {
	t.Helper()
	if os.Getenv(inside) != "" {
		for _, args := range [][]string{{"link", "set", "lo", "up"}, {"link", "add", "br0", "type", "bridge"},
			{"addr", "add", hostOf(0) + "/24", "dev", "br0"}, {"link", "set", "br0", "up"}} {
			if err := ip(args...); err != nil {
				t.Fatal(err)
			}
		}
		return false
	}
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	try := exec.Command("sh", "-c", "ip link add br0 type bridge && ip link add a0 type veth peer name b0 && nsenter --version")
	try.SysProcAttr = attributes
	if out, err := try.CombinedOutput(); err != nil {
		t.Logf("nodes are not cut off from each other here: no network namespaces (%v) %s", err, out)
		return false
	}
	again := exec.Command(os.Args[0], append(os.Args[1:], "-test.run", "^"+t.Name()+"$", "-test.v")...)
	again.Env = append(os.Environ(), inside+"=1", process.BinaryEnv+"="+process.Binary(t))
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: attributes.Cloneflags, UidMappings: attributes.UidMappings,
		GidMappings: attributes.GidMappings, Pdeathsig: syscall.SIGKILL}
	out, err := again.CombinedOutput()
	t.Logf("inside of a network of its own:\n%s", out)
	if err != nil {
		t.Error(err)
	}
	return true
}

// hostOf is a node's address; that of the test is that of node zero.
func hostOf(node int) string { return fmt.Sprintf("10.77.0.%d", node+1) }

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// connect gives a process that has a new network the address of a node.
func connect(pid, node int) error {
	name := fmt.Sprintf("v%d", node)
	_ = ip("link", "del", name) // that of the process before
	if err := ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(pid)); err != nil {
		return err
	}
	if err := ip("link", "set", name, "master", "br0", "up"); err != nil {
		return err
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", hostOf(node) + "/24", "dev", "eth0"},
		{"link", "set", "eth0", "up"}} {
		if err := within(pid, args...); err != nil {
			return err
		}
	}
	return nil
}

func within(pid int, args ...string) error {
	args = append([]string{"-t", fmt.Sprint(pid), "-n", "ip"}, args...)
	if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("nsenter %v: %w: %s", args, err, out)
	}
	return nil
}

// cut drops what a process sends to a node, until heal.
func cut(pid, node int) error { return within(pid, "route", "add", "blackhole", hostOf(node)+"/32") }

func heal(pid, node int) error { return within(pid, "route", "del", "blackhole", hostOf(node)+"/32") }
