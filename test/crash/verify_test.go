package crash

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

// reader asks and fails the test on errors.
type reader struct {
	t    *testing.T
	conn *process.Conn
}

func newReader(t *testing.T, addr string) *reader {
	t.Helper()
	conn, err := process.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &reader{t, conn}
}

func (r *reader) do(args ...string) resp.Value {
	r.t.Helper()
	v, err := r.conn.Do(args...)
	if err != nil || v.Err() != nil {
		r.t.Fatalf("%v: %s, %v", args, v.Str, err)
	}
	return v
}

// numbers is a list of numbers that APPEND has made.
func (r *reader) numbers(key string) []int {
	r.t.Helper()
	var out []int
	for _, s := range strings.Split(strings.TrimSuffix(string(r.do("GET", key).Str), ";"), ";") {
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil {
			r.t.Fatalf("%s holds %q", key, s)
		}
		out = append(out, n)
	}
	return out
}

// verify holds what is there against what the writers know. shared is the counter
// that all of them count, as it was last seen.
func verify(t *testing.T, addr string, writers []*writer, round, shared int) (sharedNow int) {
	t.Helper()
	r := newReader(t, addr)
	sharedLow, sharedHigh := shared, shared
	for _, w := range writers {
		sharedLow += w.acked[counter] - w.verified[counter]
		sharedHigh += w.sent[counter] - w.verified[counter]
		for _, k := range []kind{list, multi, interactive} {
			r.list(w, k)
		}
		r.counter(w)
		r.uniques(w, w.verified[unique]+1, w.sent[unique])
		w.verified[unique] = w.sent[unique]
	}
	sharedNow = r.integer(r.do("HGET", "shared", "counter"))
	if sharedNow < sharedLow || sharedNow > sharedHigh {
		t.Errorf("the shared counter is %d, want %d to %d", sharedNow, sharedLow, sharedHigh)
	}
	for i := range round {
		name := strconv.Itoa(i)
		if v := r.do("EXISTS", "open:"+name); v.Int != 0 {
			t.Errorf("round %d: the key of a transaction that was never committed is there", i)
		}
		if v := r.do("ZGET", "open:"+name); !v.IsNull() {
			t.Errorf("round %d: the ZMap row of a transaction that was never committed is there", i)
		}
	}
	if v := r.do("EXISTS", "open-hash"); v.Int != 0 {
		t.Error("the hash of a transaction that was never committed is there")
	}
	for _, w := range writers {
		w.acked = w.sent // what was in flight is settled now
	}
	if t.Failed() {
		t.Fatalf("round %d", round)
	}
	return sharedNow
}

func (r *reader) integer(v resp.Value) int {
	r.t.Helper()
	if v.IsNull() {
		return 0
	}
	n, err := strconv.Atoi(string(v.Str))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// keys are where an operation of that kind leaves its numbers: the list, and a
// hash and a last value that must agree with it.
func (k kind) keys(client string) (list, hash, last string) {
	switch k {
	case multi:
		return "multi:" + client, "multi-hash:" + client, "multi-last:" + client
	case interactive:
		return "tx:" + client, "tx-hash:" + client, ""
	}
	return "list:" + client, "", ""
}

// list checks that the numbers of this round follow those of the rounds before
// without a gap, at least to the last acknowledged one.
func (r *reader) list(w *writer, k kind) {
	r.t.Helper()
	key, hash, last := k.keys(w.name)
	got, old := r.numbers(key), w.history[k]
	if len(got) < len(old) {
		r.t.Errorf("%s has %d numbers, it had %d before", key, len(got), len(old))
		return
	}
	for i, n := range got {
		want := 0
		if i < len(old) {
			want = old[i]
		} else {
			want = w.verified[k] + 1 + i - len(old)
		}
		if n != want {
			r.t.Errorf("%s: number %d is %d, want %d", key, i, n, want)
			return
		}
	}
	reached := w.verified[k] + len(got) - len(old)
	if reached < w.acked[k] || reached > w.sent[k] {
		r.t.Errorf("%s goes up to %d; %d was acknowledged, %d sent", key, reached, w.acked[k], w.sent[k])
	}
	w.history[k], w.verified[k] = got, w.sent[k]
	if hash != "" {
		r.hash(w, hash, got)
	}
	lastNumber := 0
	if len(got) > 0 {
		lastNumber = got[len(got)-1]
	}
	switch {
	case k == interactive:
		if n := r.integer(r.do("ZGET", key)); n != lastNumber {
			r.t.Errorf("ZMap row %s is %d, the list ends with %d", key, n, lastNumber)
		}
	case last != "":
		if n := r.integer(r.do("GET", last)); n != lastNumber {
			r.t.Errorf("%s is %d, the list ends with %d", last, n, lastNumber)
		}
	}
}

// hash checks that a transaction's other half holds the same numbers.
func (r *reader) hash(w *writer, key string, want []int) {
	r.t.Helper()
	v := r.do("HGETALL", key)
	if len(v.Array) != 2*len(want) {
		r.t.Errorf("%s has %d fields, the list %d numbers", key, len(v.Array)/2, len(want))
		return
	}
	there := map[string]string{}
	for i := 0; i < len(v.Array); i += 2 {
		there[string(v.Array[i].Str)] = string(v.Array[i+1].Str)
	}
	for _, n := range want {
		if s := strconv.Itoa(n); there[s] != value(w.name, s) {
			r.t.Errorf("%s: field %s is %q", key, s, there[s])
		}
	}
}

func (r *reader) counter(w *writer) {
	r.t.Helper()
	got := r.integer(r.do("GET", "counter:"+w.name))
	// What was lost in earlier rounds was never counted.
	low, high := w.countedLow+w.acked[counter]-w.verified[counter], w.countedLow+w.sent[counter]-w.verified[counter]
	if got < low || got > high {
		r.t.Errorf("counter:%s is %d, want %d to %d", w.name, got, low, high)
	}
	w.countedLow, w.verified[counter] = got, w.sent[counter]
}

// uniques checks the keys with the numbers from to to. Those above the last
// acknowledged one are there or not, and none follows one that is missing.
func (r *reader) uniques(w *writer, from, to int) {
	r.t.Helper()
	const batch = 500
	missing := 0
	for ; from <= to; from += batch {
		args := []string{"MGET"}
		for n := from; n < from+batch && n <= to; n++ {
			args = append(args, fmt.Sprintf("unique:%s:%d", w.name, n))
		}
		for i, v := range r.do(args...).Array {
			n := from + i
			switch {
			case v.IsNull() && n <= w.acked[unique]:
				r.t.Errorf("%s was acknowledged and is lost", args[i+1])
			case v.IsNull():
				missing = n
			case missing != 0:
				r.t.Errorf("%s is there, and %d of the same connection, which came before, is not", args[i+1], missing)
			case string(v.Str) != value(w.name, strconv.Itoa(n)):
				r.t.Errorf("%s holds %q", args[i+1], v.Str)
			default:
				w.history[unique] = append(w.history[unique], n)
			}
		}
	}
}

// everything looks at all keys of all rounds once more.
func everything(t *testing.T, addr string, writers []*writer) {
	t.Helper()
	r := newReader(t, addr)
	for _, w := range writers {
		all := w.history[unique]
		for len(all) > 0 {
			n := min(len(all), sampleKeys)
			args := []string{"MGET"}
			for _, number := range all[:n] {
				args = append(args, fmt.Sprintf("unique:%s:%d", w.name, number))
			}
			for i, v := range r.do(args...).Array {
				if string(v.Str) != value(w.name, strconv.Itoa(all[i])) {
					t.Errorf("%s holds %q", args[i+1], v.Str)
				}
			}
			all = all[n:]
		}
	}
}
