//go:build !linux

package torture

import (
	"errors"
	"testing"
)

// inside marks the process that runs within a network of its own.
const inside = "STRATA_TORTURE_INSIDE"

var errNone = errors.New("no network namespaces on this system")

func enclose(t *testing.T) bool {
	t.Log("nodes are not cut off from each other here: no network namespaces")
	return false
}

func hostOf(int) string      { return "127.0.0.1" }
func connect(int, int) error { return errNone }
func cut(int, int) error     { return errNone }
func heal(int, int) error    { return errNone }
