package history

import (
	"strings"
	"testing"
)

func op(id int, invoke, ret int64, reads map[string][]uint32, appends map[string]uint32) *Op {
	return &Op{ID: id, Invoke: invoke, Return: ret, Reads: reads, Appends: appends}
}

func TestCheck(t *testing.T) {
	type lists = map[string][]uint32
	type one = map[string]uint32
	unknown := op(2, 3, 0, nil, one{"a": 2, "b": 3})
	unknown.Outcome = Unknown
	failed := op(3, 3, 4, nil, one{"a": 2})
	failed.Outcome = Failed
	for name, c := range map[string]struct {
		ops   []*Op
		final lists
		want  string
	}{
		"empty":          {nil, nil, ""},
		"in order":       {[]*Op{op(1, 1, 2, nil, one{"a": 1}), op(2, 3, 4, lists{"a": {1}}, one{"a": 2})}, lists{"a": {1, 2}}, ""},
		"concurrent":     {[]*Op{op(1, 1, 4, nil, one{"a": 1}), op(2, 2, 3, lists{"a": nil}, nil)}, lists{"a": {1}}, ""},
		"lost":           {[]*Op{op(1, 1, 2, nil, one{"a": 1})}, nil, "acknowledged write lost"},
		"twice":          {[]*Op{op(1, 1, 2, nil, one{"a": 1})}, lists{"a": {1, 1}}, "appended twice"},
		"from nowhere":   {nil, lists{"a": {9}}, "nobody appended"},
		"stale read":     {[]*Op{op(1, 1, 2, nil, one{"a": 1}), op(2, 3, 4, lists{"a": nil}, nil)}, lists{"a": {1}}, "no order"},
		"dirty read":     {[]*Op{op(1, 1, 2, lists{"a": {7}}, nil)}, lists{}, "was never"},
		"unknown, there": {[]*Op{unknown}, lists{"a": {2}, "b": {3}}, ""},
		"unknown, gone":  {[]*Op{unknown}, lists{}, ""},
		"unknown, half":  {[]*Op{unknown}, lists{"a": {2}}, "half a transaction"},
		"refused, there": {[]*Op{failed}, lists{"a": {2}}, "refused write is there"},
		"write skew": {[]*Op{op(1, 1, 4, lists{"a": nil, "b": nil}, one{"a": 1}), op(2, 1, 4, lists{"a": nil, "b": nil}, one{"b": 2})},
			lists{"a": {1}, "b": {2}}, "no order"},
		"long fork": {[]*Op{op(1, 1, 9, nil, one{"a": 1}), op(2, 1, 9, nil, one{"b": 2}),
			op(3, 1, 9, lists{"a": {1}, "b": nil}, nil), op(4, 1, 9, lists{"a": nil, "b": {2}}, nil)},
			lists{"a": {1}, "b": {2}}, "no order"},
		"lost update": {[]*Op{op(1, 1, 9, lists{"a": nil}, one{"a": 1}), op(2, 1, 9, lists{"a": nil}, one{"a": 2})},
			lists{"a": {1, 2}}, "no order"},
	} {
		err := Check(c.ops, c.final)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
