package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
)

// row makes a map of names and values.
func row(fields ...any) resp.Value {
	v := resp.Value{Kind: resp.KindMap}
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			v.Array = append(v.Array, resp.Value{Kind: resp.KindBulk, Str: []byte(f)})
		case int:
			v.Array = append(v.Array, resp.Value{Kind: resp.KindInt, Int: int64(f)})
		}
	}
	return v
}

// TestTop: rates are per second, counters that began anew or are new count as nothing,
// and the busiest ranges come first.
func TestTop(t *testing.T) {
	began := time.Unix(1_700_000_000, 0)
	before := look{at: began,
		nodes:  []resp.Value{row("id", 1, "commands", 100), row("id", 2, "commands", 900)},
		ranges: []resp.Value{row("id", 1, "transactions", 10), row("id", 2, "transactions", 10), row("id", 3, "transactions", 10)},
	}
	now := look{at: began.Add(2 * time.Second),
		nodes: []resp.Value{
			row("id", 1, "status", "live", "resp", "a:1", "clients", 3, "commands", 500, "replicas", 3, "leaders", 2, "bytes", 7),
			row("id", 2, "status", "live", "resp", "b:1", "clients", 0, "commands", 4, "replicas", 3, "leaders", 1, "bytes", 8),
			row("id", 3, "status", "silent", "resp", "", "commands", 50),
		},
		ranges: []resp.Value{
			row("id", 1, "leader", 1, "transactions", 10, "bytes", 1, "start", "/min", "end", "/a"),
			row("id", 2, "leader", 2, "reads_per_second", 17, "transactions", 30, "bytes", 2, "start", "/a", "end", "/b"),
			row("id", 3, "leader", 0, "transactions", 90, "bytes", 3, "start", "/b", "end", "/max"),
			row("id", 4, "leader", 1, "transactions", 90, "bytes", 3, "start", "/b", "end", "/max"),
		},
	}
	var out bytes.Buffer
	now.print(&out, before, 3)
	const want = `NODE  STATUS  RESP  CLIENTS  COMMANDS/S  REPLICAS  LEADERS  BYTES
1     live    a:1   3        200         3         2        7
2     live    b:1   0        0           3         1        8
3     silent  -     0        0           0         0        0

RANGE  LEADER  READS/S  WRITES/S  BYTES  START  END
3      0       0        40        3      /b     /max
2      2       17       10        2      /a     /b
1      1       0        0         1      /min   /a

`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
