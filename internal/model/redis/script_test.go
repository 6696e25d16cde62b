package redis

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// words splits a line of a scenario; Go string literals are unquoted, and
// "x*1000" after REPEAT: writes long values.
func words(tb testing.TB, line string) (out []string) {
	for _, f := range strings.Fields(line) {
		if strings.HasPrefix(f, `"`) {
			f = unquote(tb, f)
		} else if i := strings.LastIndex(f, "*"); i > 0 && i+1 < len(f) && strings.Trim(f[i+1:], "0123456789") == "" {
			f = strings.Repeat(f[:i], int(num(f[i+1:])))
		}
		out = append(out, f)
	}
	return out
}

// layouts are options under which every scenario has the same replies: the
// defaults, and bounds so low that nearly everything leaves its header.
var layouts = map[string]Options{
	"default": {},
	"small":   {StringInlineBytes: 4, StringGrowBytes: 2, PieceBytes: 3, HashInlineFields: 1, HashInlineBytes: 16, ListNodeElements: 1, ListNodeBytes: 8, RankNodeChildren: 2},
	"middle":  {StringInlineBytes: 8, StringGrowBytes: 8, PieceBytes: 4, HashInlineFields: 3, HashInlineBytes: 64, ListNodeElements: 4, ListNodeBytes: 40, RankNodeChildren: 3},
	"lazy":    {HashInlineFields: 1, ReapFields: 1},
}

// TestScenarios runs the scenarios in every layout. Those in testdata/redis hold
// the replies of a real server, see TestServerAgrees.
func TestScenarios(t *testing.T) {
	for name, o := range layouts {
		t.Run(name, func(t *testing.T) {
			here, _ := filepath.Glob("testdata/strata/*")
			paths, _ := filepath.Glob("testdata/redis/*")
			if paths = append(paths, here...); len(paths) == 0 {
				t.Fatal("no scenarios")
			}
			for _, path := range paths {
				if name != "default" && filepath.Base(path) == "encoding" {
					continue // it says what the default layout answers
				}
				w := newWorld(t, o)
				datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
					w.tb = t
					var out strings.Builder
					for line := range strings.Lines(d.Input) {
						out.WriteString(w.do(words(t, line)...) + "\n")
						w.check()
					}
					return out.String()
				})
			}
		})
	}
}
