package redis

import (
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/test/process"
)

// TestTipsAgree: what COMMAND says of how sure a reply is, is what the real server says.
func TestTipsAgree(t *testing.T) {
	here := goredis.NewClient(&goredis.Options{Addr: start(t, Options{}).addr, Protocol: 2})
	there := goredis.NewClient(&goredis.Options{Addr: process.Redis(t), Protocol: 2})
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	tips := func(c *goredis.Client, name string) (found bool, tips []string) {
		rows := must[[]any](t)(c.Do(t.Context(), "COMMAND", "INFO", name).Slice())
		row, ok := rows[0].([]any)
		if !ok {
			return false, nil
		}
		for _, tip := range row[7].([]any) {
			if !strings.Contains(tip.(string), "_policy:") {
				tips = append(tips, tip.(string))
			}
		}
		return true, tips
	}
	newTable().Each(func(cmd *Command) {
		found, want := tips(there, cmd.FullName())
		if _, got := tips(here, cmd.FullName()); found && !slices.Equal(got, want) {
			t.Errorf("%s: %v, not %v", cmd.FullName(), got, want)
		}
	})
}
