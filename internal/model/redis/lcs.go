package redis

import (
	"slices"

	"github.com/stratadb/strata/internal/kv"
)

// LCSTableBytes bounds the table with which LCS compares two strings.
const LCSTableBytes = 256 << 20

// LCSOptions say what LCS computes beside the length.
type LCSOptions struct {
	// Sequence asks for the common subsequence itself.
	Sequence bool
	// Index asks for the matches, those of at least MinMatchLen bytes.
	Index       bool
	MinMatchLen int64
}

// LCSMatch is a run that both strings share; all ends are inclusive.
type LCSMatch struct{ AStart, AEnd, BStart, BEnd int64 }

// Len is the length of the match.
func (m LCSMatch) Len() int64 { return m.AEnd - m.AStart + 1 }

// LCSResult is a longest common subsequence. Matches go from the strings' ends
// to their beginnings.
type LCSResult struct {
	Len      int64
	Sequence []byte
	Matches  []LCSMatch
}

// LCS is LCS.
func LCS(t kv.Txn, db *DB, keyA, keyB []byte, o LCSOptions) (LCSResult, error) {
	var ea, eb Entry
	if err := ea.Lookup(t, db, keyA); err != nil {
		return LCSResult{}, err
	}
	if err := eb.Lookup(t, db, keyB); err != nil {
		return LCSResult{}, err
	}
	if ea.Found && ea.Header.Kind != TypeString || eb.Found && eb.Header.Kind != TypeString {
		return LCSResult{}, ErrLCSNotStrings
	}
	if (ea.StringLen()+1)*(eb.StringLen()+1) > LCSTableBytes/4 {
		return LCSResult{}, ErrLCSTooLarge
	}
	a, err := ea.StringOrNil(t)
	if err != nil {
		return LCSResult{}, err
	}
	b, err := eb.StringOrNil(t)
	if err != nil {
		return LCSResult{}, err
	}
	return lcs(a, b, o), nil
}

// lcs fills the table of the lengths for all pairs of prefixes and walks it back.
func lcs(a, b []byte, o LCSOptions) (r LCSResult) {
	width := len(b) + 1
	table := make([]uint32, (len(a)+1)*width)
	for i := 1; i <= len(a); i++ {
		row, above := table[i*width:(i+1)*width], table[(i-1)*width:i*width]
		for j := 1; j <= len(b); j++ {
			if a[i-1] == b[j-1] {
				row[j] = above[j-1] + 1
			} else {
				row[j] = max(above[j], row[j-1])
			}
		}
	}
	r.Len = int64(table[len(table)-1])
	if !o.Sequence && !o.Index {
		return r
	}
	var run LCSMatch
	open := false
	emit := func() {
		if open && o.Index && (o.MinMatchLen == 0 || run.Len() >= o.MinMatchLen) {
			r.Matches = append(r.Matches, run)
		}
		open = false
	}
	for i, j := len(a), len(b); i > 0 && j > 0; {
		if a[i-1] == b[j-1] {
			if o.Sequence {
				r.Sequence = append(r.Sequence, a[i-1])
			}
			i, j = i-1, j-1
			if open && run.AStart == int64(i)+1 && run.BStart == int64(j)+1 {
				run.AStart, run.BStart = int64(i), int64(j)
				continue
			}
			emit()
			run, open = LCSMatch{int64(i), int64(i), int64(j), int64(j)}, true
			continue
		}
		if table[(i-1)*width+j] > table[i*width+j-1] {
			i--
		} else {
			j--
		}
	}
	emit()
	slices.Reverse(r.Sequence)
	return r
}
