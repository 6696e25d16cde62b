package importer

import (
	"strings"
	"testing"
)

// TestStretch: commands come with times that are absolute and far away, and are otherwise the same.
func TestStretch(t *testing.T) {
	const now = 1_000_000
	for from, to := range map[string]string{
		"PEXPIREAT k 5000":               "PEXPIREAT k 158112000005000",
		"pexpireat k 158112000005000":    "pexpireat k 158112000005000",
		"EXPIREAT k 5":                   "PEXPIREAT k 158112000005000",
		"EXPIRE k 5":                     "PEXPIREAT k 158112001005000",
		"PEXPIRE k 5 NX":                 "PEXPIREAT k 158112001000005 NX",
		"EXPIRE k x":                     "EXPIRE k x",
		"SET k v":                        "SET k v",
		"SET k PX":                       "SET k PX",
		"SET k v PXAT 5000 KEEPTTL":      "SET k v PXAT 158112000005000 KEEPTTL",
		"SET k v XX ex 5":                "SET k v XX PXAT 158112001005000",
		"SET k v EXAT 5":                 "SET k v PXAT 158112000005000",
		"SETEX k 5 v":                    "SET k v PXAT 158112001005000",
		"PSETEX k 5 v":                   "SET k v PXAT 158112001000005",
		"RESTORE k 0 payload REPLACE":    "RESTORE k 0 payload REPLACE",
		"RESTORE k 5000 payload ABSTTL":  "RESTORE k 158112000005000 payload ABSTTL",
		"RESTORE k 5000 payload REPLACE": "RESTORE k 158112001005000 payload REPLACE ABSTTL",
		"PERSIST k":                      "PERSIST k",
		"FLUSHALL":                       "FLUSHALL",
	} {
		var args [][]byte
		for _, word := range strings.Fields(from) {
			args = append(args, []byte(word))
		}
		var got []string
		for _, word := range stretch(args, now) {
			got = append(got, string(word))
		}
		if strings.Join(got, " ") != to {
			t.Errorf("%s became %s, want %s", from, got, to)
		}
		if before := strings.Fields(from); string(args[len(args)-1]) != before[len(before)-1] {
			t.Errorf("%s was changed itself: %s", from, args)
		}
	}
}
