package effect

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
)

// TestEffects: commands with the reply that they had at 1 000 000 ms, and what the other
// side executes in their place.
func TestEffects(t *testing.T) {
	for _, c := range []struct{ command, reply, want string }{
		{"SET k v EX 10", "+OK", "SET k v PXAT 1010000"},
		{"SET k v PX 5 NX", "$-1", ""},
		{"SET k v NX", "+OK", "SET k v"},
		{"SET k v XX KEEPTTL", "+OK", "SET k v KEEPTTL"},
		{"SET k v EXAT 2000", "+OK", "SET k v PXAT 2000000"},
		{"SET k v GET", "$-1", "SET k v"},
		{"SET k v NX GET", "$-1", "SET k v"},
		{"SET k v NX GET", "$3|old", ""},
		{"SET k v XX GET", "$-1", ""},
		{"SET k v XX GET PXAT 77", "$3|old", "SET k v PXAT 77"},
		{"SET k v IFEQ w", "+OK", "SET k v IFEQ w"},
		{"SETNX k v", ":1", "SET k v"},
		{"SETNX k v", ":0", ""},
		{"SETEX k 10 v", "+OK", "SET k v PXAT 1010000"},
		{"PSETEX k 10 v", "+OK", "SET k v PXAT 1000010"},
		{"GETEX k EX 1", "$1|v", "PEXPIREAT k 1001000"},
		{"GETEX k EX 1", "$-1", ""},
		{"GETEX k PERSIST", "$1|v", "PERSIST k"},
		{"GETEX k", "$1|v", ""},
		{"MSETNX a 1 b 2", ":1", "MSET a 1 b 2"},
		{"MSETNX a 1 b 2", ":0", ""},
		{"INCRBYFLOAT k 0.1", "$3|1.1", "SET k 1.1 KEEPTTL"},
		{"HINCRBYFLOAT h f 0.1", "$3|1.1", "HSET h f 1.1"},
		{"EXPIRE k 10", ":1", "PEXPIREAT k 1010000"},
		{"EXPIRE k 10 GT", ":0", ""},
		{"PEXPIRE k 10 NX", ":1", "PEXPIREAT k 1000010"},
		{"EXPIREAT k 2000", ":1", "PEXPIREAT k 2000000"},
		{"RESTORE k 500 xyz", "+OK", "RESTORE k 1000500 xyz ABSTTL"},
		{"RESTORE k 0 xyz REPLACE", "+OK", "RESTORE k 0 xyz REPLACE"},
		{"RESTORE k 5 xyz ABSTTL", "+OK", "RESTORE k 5 xyz ABSTTL"},
		{"SPOP s", "$1|m", "SREM s m"},
		{"SPOP s", "$-1", ""},
		{"SPOP s 2", "*2|$1|m|$1|n", "SREM s m n"},
		{"SPOP s 2", "~1|$1|m", "SREM s m"},
		{"SPOP s 2", "*0", ""},
		{"BLPOP a b 0", "*2|$1|b|$1|x", "LPOP b"},
		{"BLPOP a b 1", "*-1", ""},
		{"BRPOP a 0", "*2|$1|a|$1|x", "RPOP a"},
		{"BLMOVE a b LEFT RIGHT 0", "$1|x", "LMOVE a b LEFT RIGHT"},
		{"BLMOVE a b LEFT RIGHT 1", "$-1", ""},
		{"BRPOPLPUSH a b 0", "$1|x", "RPOPLPUSH a b"},
		{"LMPOP 2 a b RIGHT COUNT 9", "*2|$1|b|*2|$1|x|$1|y", "RPOP b 2"},
		{"BLMPOP 0 2 a b LEFT", "*2|$1|a|*1|$1|x", "LPOP a 1"},
		{"BLMPOP 1 2 a b LEFT", "*-1", ""},
		{"ZMPOP 1 z MIN COUNT 2", "*2|$1|z|*2|*2|$1|m|$1|1|*2|$1|n|$1|2", "ZREM z m n"},
		{"BZMPOP 0 1 z MAX", "_", ""},
		{"BZPOPMIN z 0", "*3|$1|z|$1|m|,1.5", "ZREM z m"},
		{"BZPOPMAX z 1", "*-1", ""},
		{"XADD x * f v", "$3|9-1", "XADD x 9-1 f v"},
		{"XADD x NOMKSTREAM MAXLEN = 5 * f v", "$3|9-1", "XADD x NOMKSTREAM MAXLEN = 5 9-1 f v"},
		{"XADD x MAXLEN ~ 5 LIMIT 10 7-* f v", "$3|7-3", "XADD x 7-3 f v"},
		{"XADD x NOMKSTREAM * f v", "$-1", ""},
		{"XTRIM x MINID ~ 3", ":2", ""},
		{"XREADGROUP GROUP g c COUNT 2 BLOCK 0 NOACK STREAMS x y > >", "*-1", "XREADGROUP GROUP g c COUNT 2 NOACK STREAMS x y > >"},
		{"XCLAIM x g c 500 1-0 2-0 IDLE 5 JUSTID", "*1|$3|2-0", "XCLAIM x g c 0 2-0 IDLE 5 JUSTID"},
		{"XCLAIM x g c 500 1-0", "*1|*2|$3|1-0|*2|$1|f|$1|v", "XCLAIM x g c 0 1-0"},
		{"XCLAIM x g c 500 1-0", "*0", ""},
		{"XAUTOCLAIM x g c 500 0 COUNT 3 JUSTID", "*3|$3|0-0|*1|$3|1-0|*1|$3|2-0", "XCLAIM x g c 0 1-0 JUSTID; XACK x g 2-0"},
		{"XAUTOCLAIM x g c 500 0", "*3|$3|0-0|*0|*0", ""},
		{"HEXPIRE h 10 FIELDS 1 f", "*1|:1", "HPEXPIREAT h 1010000 FIELDS 1 f"},
		{"HGETEX h EX 10 FIELDS 1 EX", "*1|$1|v", "HGETEX h PXAT 1010000 FIELDS 1 EX"},
		{"SPOP s", "-WRONGTYPE no", ""},
	} {
		args, _, _ := resp.SplitWords(nil, nil, []byte(c.command))
		reply := decode(t, c.reply)
		var got []string
		for _, e := range Of(strings.ToLower(string(args[0])), args, reply, time.UnixMilli(1_000_000)) {
			got = append(got, string(bytes.Join(e, []byte(" "))))
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s answered %s: %q, want %q", c.command, c.reply, s, c.want)
		}
	}
}

// decode reads a reply of which the lines end with |.
func decode(t *testing.T, s string) resp.Value {
	t.Helper()
	s = strings.ReplaceAll(s, "|", "\r\n") + "\r\n"
	v, err := resp.NewDecoder(strings.NewReader(s), resp.DecoderLimits{}).Decode()
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return v
}

func TestTreatments(t *testing.T) {
	for command, want := range map[string]Treatment{
		"SET k v": Same, "SET k v EX 1": Translated, "INCR k": Same, "PUBLISH c m": Local, "FLUSHALL": Everywhere, "EVAL x 0": Script,
		"XADD x 1-1 f v": Same, "XADD x * f v": Translated, "XADD x MAXLEN ~ 1 1-1 f v": Trimmed, "XADD x 1-* f v": Translated,
		"XTRIM x MAXLEN 5": Same, "XTRIM x MAXLEN ~ 5": Trimmed, "SORT l STORE d": Copied, "MONITOR": Refused, "SPOP s": Translated,
		"XADD x MAXLEN = 1 LIMIT 5 * ~ v": Translated,
	} {
		args, _, _ := resp.SplitWords(nil, nil, []byte(command))
		if got := Treat(strings.ToLower(string(args[0])), args); got != want {
			t.Errorf("%s: %d, want %d", command, got, want)
		}
	}
}

func TestTrim(t *testing.T) {
	for reply, want := range map[string]string{
		"*1|*2|$3|5-0|*2|$1|f|$1|v": "XTRIM x MINID 5-0", "*0": "XTRIM x MAXLEN 0", "-WRONGTYPE": "",
	} {
		var got string
		for _, e := range Trim([]byte("x"), decode(t, reply)) {
			got += string(bytes.Join(e, []byte(" ")))
		}
		if got != want {
			t.Errorf("%s: %q, want %q", reply, got, want)
		}
	}
}
