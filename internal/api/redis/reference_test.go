package redis

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/command"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the generated documentation")

const referencePath = "../../../docs/reference/redis.md"

func TestReferenceIsUpToDate(t *testing.T) {
	want := Reference()
	if *rewrite {
		if err := os.WriteFile(referencePath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePath)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no reference yet")
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s does not match the table (%v); run the test with -rewrite", referencePath, err)
	}
}

// TestTable checks what every row must satisfy.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	newTable().Each(func(cmd *Command) {
		switch name := cmd.FullName(); {
		case seen[name]:
			t.Errorf("%s: twice in the table", name)
		case name != strings.ToLower(name) || len(cmd.Name) > command.NameMaxBytes:
			t.Errorf("%s: bad name", name)
		case cmd.Summary == "" || cmd.Since == "" || cmd.Group == "" || cmd.Arity == 0:
			t.Errorf("%s: incomplete row", name)
		case cmd.Handler == nil && cmd.Subcommands == nil:
			t.Errorf("%s: no handler", name)
		case cmd.Flags&command.FlagWrite != 0 && cmd.Flags&command.FlagReadonly != 0:
			t.Errorf("%s: write and readonly", name)
		case cmd.Flags&command.FlagWrite != 0 && cmd.Kind == command.KindConnection:
			t.Errorf("%s: a write without a transaction", name)
		default:
			seen[name] = true
		}
	})
	if len(seen) < 100 {
		t.Errorf("%d commands", len(seen))
	}
}
