package replica

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// stale runs the commands about reads that need no leader.
func (s *scenario) stale(d *datadriven.TestData) (string, error) {
	var at, index uint64
	d.MaybeScanArgs(s.t, "at", &at)
	d.MaybeScanArgs(s.t, "index", &index)
	first := d.CmdArgs[0].Key
	switch d.Cmd {
	case "complete":
		if _, err := fmt.Sscan(first, &at); err != nil {
			return "", err
		}
		x := &scenarioTxn{}
		return s.call(x, func() string {
			index, err := s.r.Complete(base.Stamp(at))
			return fmt.Sprintf("index %d, %v", index, err)
		}), nil
	case "cover":
		if _, err := fmt.Sscan(first, &at); err != nil {
			return "", err
		}
		s.r.Cover(s.t.Context(), base.Stamp(at), base.LogIndex(index))
		return fmt.Sprintf("covered up to %d", s.r.Covered()), nil
	}
	said := func(text string, err error) string {
		if errors.Is(err, ErrElsewhere) {
			return strings.SplitN(err.Error(), ":", 2)[0]
		}
		if err != nil {
			return err.Error()
		}
		return text
	}
	read := s.r.ReadStale(base.Stamp(at))
	if d.Cmd == "stale" {
		v, err := read.Get([]byte(first))
		return said(show(v, nil), err), nil
	}
	var out []string
	err := read.Scan(base.Span{Start: []byte(first), End: []byte(d.CmdArgs[1].Key)}, d.HasArg("reverse"), func(key, value []byte) bool {
		out = append(out, fmt.Sprintf("%s=%s", key, value))
		return true
	})
	return said(strings.Join(out, " "), err), nil
}
