package bench

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/wire/resp"
)

// Placeholders in the words of a command.
const (
	keyMark  = "__key__"
	dataMark = "__data__"
	// keyDigits is the width of a random number, as in redis-benchmark.
	keyDigits = 12
)

// shape is an operation: commands that are sent together and counted as one.
// weight is its share of a mixed workload.
type shape struct {
	weight   int
	commands [][]string
}

func one(words ...string) []shape { return []shape{{1, [][]string{words}}} }

// workloads is the table of tests.
var workloads = []struct {
	name, help string
	shapes     []shape
}{
	{"ping", "PING", one("PING")},
	{"set", "SET of a random key", one("SET", "key:"+keyMark, dataMark)},
	{"get", "GET of a random key", one("GET", "key:"+keyMark)},
	{"incr", "INCR of one key", one("INCR", "counter")},
	{"incr-random", "INCR of a random key", one("INCR", "counter:"+keyMark)},
	{"hset", "HSET of a random field of one hash", one("HSET", "hash", "element:"+keyMark, dataMark)},
	{"hget", "HGET of a random field of one hash", one("HGET", "hash", "element:"+keyMark)},
	{"del", "DEL of a random key", one("DEL", "key:"+keyMark)},
	{"mixed", "four GET for each SET", []shape{
		{4, [][]string{{"GET", "key:" + keyMark}}},
		{1, [][]string{{"SET", "key:" + keyMark, dataMark}}},
	}},
	{"multi", "MULTI, SET, INCR, EXEC as one operation", []shape{{1, [][]string{
		{"MULTI"}, {"SET", "key:" + keyMark, dataMark}, {"INCR", "counter:" + keyMark}, {"EXEC"},
	}}}},
	{"zset", "ZMap ZSET of a random key", one("ZSET", "key:"+keyMark, dataMark)},
	{"zget", "ZMap ZGET of a random key", one("ZGET", "key:"+keyMark)},
	{"begin", "BEGIN, ZSET, SET, COMMIT as one operation", []shape{{1, [][]string{
		{"BEGIN"}, {"ZSET", "key:" + keyMark, dataMark}, {"SET", "key:" + keyMark, dataMark}, {"COMMIT"},
	}}}},
}

// Workloads lists the names of the tests with their meaning.
func Workloads() (names, help []string) {
	for _, w := range workloads {
		names, help = append(names, w.name), append(help, w.help)
	}
	return names, help
}

func findWorkload(name string) ([]shape, error) {
	for _, w := range workloads {
		if w.name == name {
			return w.shapes, nil
		}
	}
	names, _ := Workloads()
	return nil, errors.Newf("there is no test %q; there are %s", name, strings.Join(names, ", "))
}

// program is a workload that is encoded: sending an operation means copying its
// bytes and overwriting the digits of its keys.
type program struct {
	ops   []operation // one per unit of weight
	space uint64
}

type operation struct {
	bytes   []byte
	digits  []int // offsets of the numbers
	replies int
}

func compile(shapes []shape, o *Options) *program {
	p := &program{space: uint64(max(o.Keyspace, 1))}
	data := randomText(o.Size, o.Seed)
	for _, s := range shapes {
		op := encode(s.commands, data)
		for range s.weight {
			p.ops = append(p.ops, op)
		}
	}
	return p
}

func encode(commands [][]string, data string) operation {
	zeros := strings.Repeat("0", keyDigits)
	var op operation
	for _, words := range commands {
		full := make([]string, len(words))
		for i, w := range words {
			full[i] = strings.ReplaceAll(strings.ReplaceAll(w, keyMark, zeros), dataMark, data)
		}
		op.bytes = resp.AppendCommand(op.bytes, full...)
		op.digits = append(op.digits, digitOffsets(op.bytes, words, full)...)
		op.replies++
	}
	return op
}

// digitOffsets finds the numbers in the command that ends b.
func digitOffsets(b []byte, words, full []string) (offsets []int) {
	at := len(b)
	for i := len(words) - 1; i >= 0; i-- {
		at -= len(full[i]) + 2
		if before, _, ok := strings.Cut(words[i], keyMark); ok {
			offsets = append(offsets, at+len(before))
		}
		at -= len(strconv.Itoa(len(full[i]))) + 3
	}
	return offsets
}

// appendOp appends a random operation to dst and returns how many replies it has.
func (p *program) appendOp(dst []byte, rnd *rand.Rand) ([]byte, int) {
	op := &p.ops[0]
	if len(p.ops) > 1 {
		op = &p.ops[rnd.IntN(len(p.ops))]
	}
	from := len(dst)
	dst = append(dst, op.bytes...)
	if len(op.digits) > 0 {
		n := rnd.Uint64N(p.space)
		for _, at := range op.digits {
			putDigits(dst[from+at:from+at+keyDigits], n)
		}
	}
	return dst, op.replies
}

func putDigits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

func randomText(n int, seed uint64) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	rnd := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rnd.IntN(len(letters))]
	}
	return string(b)
}

// CheckWorkloads reports the first name that is not one of a test.
func CheckWorkloads(names []string) error {
	for _, n := range names {
		if _, err := findWorkload(n); err != nil {
			return err
		}
	}
	return nil
}
