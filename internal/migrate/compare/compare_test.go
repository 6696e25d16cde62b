package compare

import (
	"strings"
	"testing"
	"time"
)

func TestEqual(t *testing.T) {
	rules := Rules{Tolerance: 2 * time.Second}
	for _, c := range []struct {
		name, a, b string
		equal      bool
	}{
		{"get", "$1|a", "$1|a", true},
		{"get", "$1|a", "$1|b", false},
		{"get", "$-1", "$0|", false},
		{"get", "$-1", "*-1", true},
		{"get", "-WRONGTYPE one text", "-WRONGTYPE another", true},
		{"get", "-ERR x", "-WRONGTYPE x", false},
		{"get", "-ERR x", "$1|x", false},
		{"lrange", "*2|$1|a|$1|b", "*2|$1|b|$1|a", false},
		{"smembers", "*2|$1|a|$1|b", "*2|$1|b|$1|a", true},
		{"smembers", "*2|$1|a|$1|b", "*2|$1|b|$1|b", false},
		{"smembers", "~2|$1|a|$1|b", "~2|$1|b|$1|a", true},
		{"hgetall", "*4|$1|a|$1|1|$1|b|$1|2", "*4|$1|b|$1|2|$1|a|$1|1", true},
		{"hgetall", "*4|$1|a|$1|1|$1|b|$1|2", "*4|$1|a|$1|2|$1|b|$1|1", false},
		{"hgetall", "%1|$1|a|$1|1", "%1|$1|a|$1|1", true},
		{"ttl", ":100", ":102", true},
		{"ttl", ":100", ":103", false},
		{"ttl", ":-1", ":100", false},
		{"ttl", ":-2", ":1", true},
		{"ttl", ":-2", ":-1", false},
		{"ttl", ":-2", ":30", false},
		{"pttl", ":5000", ":6999", true},
		{"pttl", ":5000", ":7001", false},
		{"hpttl", "*2|:-1|:5000", "*2|:-1|:5001", true},
		{"zscore", ",1.0", ",1", true},
		{"zscore", "$3|1.0", "$1|1", false},
		{"geodist", "$6|166.27", "$6|166.28", true},
		{"geodist", "$6|166.27", "$6|167.28", false},
		{"scan", "*2|$1|0|*0", "*2|$1|7|*0", true},
		{"object|encoding", "$1|a", "$1|b", true},
		{"exists", ":1", ":0", false},
	} {
		a, b := strings.ReplaceAll(c.a, "|", "\r\n")+"\r\n", strings.ReplaceAll(c.b, "|", "\r\n")+"\r\n"
		if got := rules.Equal(c.name, []byte(a), []byte(b)); got != c.equal {
			t.Errorf("%s %s and %s: %v", c.name, c.a, c.b, got)
		}
		if got := rules.Equal(c.name, []byte(b), []byte(a)); got != c.equal {
			t.Errorf("%s %s and %s: %v", c.name, c.b, c.a, got)
		}
	}
}
