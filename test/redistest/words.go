package redistest

import (
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/model/redis"
)

// Words splits a line of a scenario; Go string literals are unquoted, and
// "x*1000" after REPEAT: writes long values.
func Words(tb testing.TB, line string) (out []string) {
	for _, f := range strings.Fields(line) {
		if strings.HasPrefix(f, `"`) {
			f = unquote(tb, f)
		} else if i := strings.LastIndex(f, "*"); i > 0 && i+1 < len(f) && strings.Trim(f[i+1:], "0123456789") == "" {
			f = strings.Repeat(f[:i], int(Number(f[i+1:])))
		}
		out = append(out, f)
	}
	return out
}

// Layouts are options under which every scenario has the same replies: the
// defaults, and bounds so low that nearly everything leaves its header.
var Layouts = map[string]redis.Options{
	"default": {},
	"small":   {StringInlineBytes: 4, StringGrowBytes: 2, PieceBytes: 3, HashInlineFields: 1, HashInlineBytes: 16, ListNodeElements: 1, ListNodeBytes: 8, RankNodeChildren: 2},
	"middle":  {StringInlineBytes: 8, StringGrowBytes: 8, PieceBytes: 4, HashInlineFields: 3, HashInlineBytes: 64, ListNodeElements: 4, ListNodeBytes: 40, RankNodeChildren: 3},
	"lazy":    {HashInlineFields: 1, ReapFields: 1},
}
