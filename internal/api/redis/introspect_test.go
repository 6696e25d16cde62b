package redis

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/test/process"
)

// tablesAgree compares something of the rows that COMMAND tells of, for all commands that a real
// server knows, too.
func tablesAgree(t *testing.T, of func(row []any) []string) {
	t.Helper()
	row := func(addr string) func(name string) []any {
		c := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: 2, ReadTimeout: patience})
		t.Cleanup(func() { _ = c.Close() })
		return func(name string) []any {
			row, _ := must[[]any](t)(c.Do(t.Context(), "COMMAND", "INFO", name).Slice())[0].([]any)
			return row
		}
	}
	here, there := row(start(t, Options{}).addr), row(process.Redis(t))
	newTable().Each(func(cmd *Command) {
		theirs := there(cmd.FullName())
		if theirs == nil {
			return
		}
		if got, want := of(here(cmd.FullName())), of(theirs); !slices.Equal(got, want) {
			t.Errorf("%s\n  here   %v\n  server %v", cmd.FullName(), got, want)
		}
	})
}

// TestTipsAgree: what COMMAND says of how sure a reply is, is what the real server says.
func TestTipsAgree(t *testing.T) {
	tips := func(row []any) (tips []string) {
		for _, tip := range row[7].([]any) {
			if !strings.Contains(tip.(string), "_policy:") {
				tips = append(tips, tip.(string))
			}
		}
		return tips
	}
	tablesAgree(t, tips)
}

// TestKeySpecsAgree: where COMMAND says that keys are, and what is done to them.
func TestKeySpecsAgree(t *testing.T) {
	specs := func(row []any) (out []string) {
		for _, s := range row[8].([]any) {
			pairs := s.([]any)
			for i := 0; i < len(pairs); i += 2 {
				if flags, ok := pairs[i+1].([]any); ok && pairs[i] == "flags" {
					slices.SortFunc(flags, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
				}
				if pairs[i] != "notes" {
					out = append(out, fmt.Sprint(pairs[i:i+2]...))
				}
			}
		}
		return out
	}
	tablesAgree(t, specs)
}

// TestKeysAndFlagsAgree: of single calls.
func TestKeysAndFlagsAgree(t *testing.T) {
	var talk []string
	for _, call := range []string{"GET k", "SUNIONSTORE d a b", "COPY a b", "RENAME a b", "LMOVE a b LEFT LEFT", "BITOP AND d a b", "XREADGROUP GROUP streams c STREAMS a b > >", "ZUNIONSTORE d 2 a b", "LMPOP 2 a b LEFT",
		"GEORADIUS g 1 1 1 m STORE d", "GEORADIUS g 1 1 1 m", "PFMERGE d a b", "MSET a 1 b 2", "BLPOP a b 0", "OBJECT ENCODING k", "XGROUP CREATE k g 0", "SORT l STORE d", "SORT l BY x* GET y* STORE d", "PING", "DEL a b", "EXISTS a b", "SINTERCARD 2 a b", "SET k v", "SET k v NX GET", "BITFIELD k GET u8 0", "BITFIELD k GET u8 0 SET u8 0 1", "BITFIELD k OVERFLOW SAT GET u8 0"} {
		talk = append(talk, "COMMAND GETKEYSANDFLAGS "+call)
	}
	here, there := bothServers(t)
	sorted := func(reply string) string { // flags have no order
		words := strings.Split(reply, "\r\n")
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	for i, command := range talk {
		if ours, theirs := here.answer(command, fmt.Sprint("end", i)), there.answer(command, fmt.Sprint("end", i)); sorted(ours) != sorted(theirs) {
			t.Errorf("%s\n  here   %q\n  server %q", command, ours, theirs)
		}
	}
}

// TestCategoriesAgree: what ACL rules mean by a category.
func TestCategoriesAgree(t *testing.T) {
	tablesAgree(t, func(row []any) (categories []string) {
		for _, name := range row[6].([]any) {
			if name == "@blocking" && row[0] == "wait" { // since 7.2
				continue
			}
			categories = append(categories, name.(string))
		}
		slices.Sort(categories)
		return categories
	})
}
