package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/proxy"
)

// waitForSync looks at the report until nothing is being copied.
func waitForSync(p Process, admin string) error {
	for {
		reply, err := http.Get("http://" + admin + "/report")
		if err != nil {
			return failed(err, admin)
		}
		var r proxy.Report
		err = json.NewDecoder(reply.Body).Decode(&r)
		_ = reply.Body.Close()
		if err != nil {
			return failed(err, admin)
		}
		if isTerminalWriter(p.Stderr) {
			fmt.Fprintf(p.Stderr, "\r%s: %d of about %d keys   ", r.Sync.Phase, r.Sync.Keys, r.Sync.Total)
		}
		switch {
		case r.Sync.Error != "":
			return &exitError{code: ExitFailed, err: errors.New(r.Sync.Error)}
		case !r.Sync.Running:
			fmt.Fprintf(p.Stderr, "%d keys copied, %d removed\n", r.Sync.Keys, r.Sync.Removed)
			return nil
		}
		<-time.After(200 * time.Millisecond)
	}
}

// twoDashes gives the long flags of `strata proxy` that have one dash a second one.
func twoDashes(args []string) []string {
	if len(args) == 0 || args[0] != "proxy" {
		return args
	}
	out := append([]string(nil), args...)
	for i, a := range out {
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && !strings.ContainsAny(a[1:2], "0123456789") {
			out[i] = "-" + a
		}
	}
	return out
}
