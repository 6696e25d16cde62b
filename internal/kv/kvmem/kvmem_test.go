package kvmem_test

import (
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/kv/kvtest"
)

func now() base.Stamp { return base.Stamp(time.Now().UnixMicro()) }

func TestConformance(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Engine { return kvmem.New(now) })
}

func TestConformanceDivided(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Engine {
		return kvmem.NewDivided(now, []byte("\x04b"), []byte("\x04k0300"), []byte("\x04k0600"))
	})
}
