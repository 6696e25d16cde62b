package redis

import "github.com/stratadb/strata/internal/redisnum"

// A set is laid out like a hash whose fields, the members, have no values: inside its
// header, or with a row per member, in the order of their places. So two sets can be
// compared by reading both once.

// Redis's defaults of set-max-intset-entries, set-max-listpack-entries and
// set-max-listpack-value. They decide what OBJECT ENCODING says, and nothing else.
const (
	intsetMembers       = 512
	listpackMembers     = 128
	listpackMemberBytes = 64
)

// widenSet notes what Redis would do with a set that has got a member, the last of n.
func (h *Header) widenSet(member []byte, n int64) {
	if _, ok := redisnum.ParseInt(member); !ok {
		h.text = true
	}
	if h.text {
		h.Wide = h.Wide || n > listpackMembers || len(member) > listpackMemberBytes
	} else {
		h.Wide = h.Wide || n > intsetMembers
	}
}

// setEncoding is the name of OBJECT ENCODING.
func (h *Header) setEncoding() string {
	switch {
	case h.Wide:
		return "hashtable"
	case h.text:
		return "listpack"
	}
	return "intset"
}
