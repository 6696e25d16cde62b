package importer

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/wire/resp"
)

// A key ends at the source when the source says so, and its replicas delete it when they are told.
// At the target it would end by itself, although a command that gives it more time may be on its
// way, or wait until the importer is started again. So while one follows, keys have five thousand years
// more at the target, which are taken back at the end.
const stretchMillis = 5000 * 366 * 24 * 3600 * 1000

// stretchLeast is what no time is that was not made longer.
const stretchLeast = stretchMillis / 2

func stretched(at int64) int64 {
	if at > stretchLeast {
		return at
	}
	return at + stretchMillis
}

// stretch is a command of replication with such a time, if it has one. Redis sends absolute times
// since 7.0, and before that what its clients have sent.
func stretch(args [][]byte, now int64) [][]byte {
	is := func(i int, word string) bool { return i < len(args) && strings.EqualFold(string(args[i]), word) }
	// until is the time that an argument stands for.
	until := func(i int, unit int64, relative bool) []byte {
		n, err := strconv.ParseInt(string(args[i]), 10, 64)
		if err != nil || n > stretchLeast/unit {
			return nil
		}
		if n *= unit; relative {
			n += now
		}
		return strconv.AppendInt(nil, stretched(n), 10)
	}
	var at []byte
	switch {
	case len(args) < 3:
	case is(0, "pexpireat"):
		at = until(2, 1, false)
	case is(0, "expireat"):
		at = until(2, 1000, false)
	case is(0, "pexpire"):
		at = until(2, 1, true)
	case is(0, "expire"):
		at = until(2, 1000, true)
	case is(0, "set"):
		return stretchSet(args, is, until)
	case (is(0, "setex") || is(0, "psetex")) && len(args) == 4:
		unit := int64(1000)
		if is(0, "psetex") {
			unit = 1
		}
		if at = until(2, unit, true); at != nil {
			return [][]byte{[]byte("SET"), args[1], args[3], []byte("PXAT"), at}
		}
		return args
	case is(0, "restore") && len(args) > 3 && string(args[2]) != "0":
		relative := true
		for i := 4; i < len(args); i++ {
			relative = relative && !is(i, "absttl")
		}
		if at = until(2, 1, relative); at == nil {
			return args
		}
		args = append([][]byte{args[0], args[1], at}, args[3:]...)
		if relative {
			args = append(args, []byte("ABSTTL"))
		}
		return args
	}
	if at == nil {
		return args
	}
	return append([][]byte{[]byte("PEXPIREAT"), args[1], at}, args[3:]...)
}

func stretchSet(args [][]byte, is func(i int, word string) bool, until func(i int, unit int64, relative bool) []byte) [][]byte {
	for i := 3; i+1 < len(args); i++ {
		for _, option := range []struct {
			name     string
			unit     int64
			relative bool
		}{{"pxat", 1, false}, {"exat", 1000, false}, {"px", 1, true}, {"ex", 1000, true}} {
			if !is(i, option.name) {
				continue
			}
			if at := until(i+1, option.unit, option.relative); at != nil {
				whole := append([][]byte{}, args...)
				whole[i], whole[i+1] = []byte("PXAT"), at
				return whole
			}
		}
	}
	return args
}

// shrink is a script: the key may have another time by now.
const shrink = `local at = redis.call('PEXPIRETIME', KEYS[1]) if at > tonumber(ARGV[1]) then return redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', at - tonumber(ARGV[2]))) end return 0`

// shrinkKeys is how many keys are looked at at once.
const shrinkKeys = 500

// settle gives all keys of the target the times that they should have. It may be begun again.
func (x *follower) settle(ctx context.Context) error {
	all, _, err := x.to.Databases(nil)
	if err != nil {
		return errors.CombineErrors(errTarget, err)
	}
	for _, db := range all {
		if err := x.to.Select(db); err != nil {
			return errors.CombineErrors(errTarget, err)
		}
		for cursor, first := "0", true; first || cursor != "0"; first = false {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if cursor, err = x.settlePage(cursor); err != nil {
				return errors.CombineErrors(errTarget, err)
			}
		}
	}
	return x.to.Select(0)
}

func (x *follower) settlePage(cursor string) (next string, err error) {
	page, err := x.to.Do("SCAN", cursor, "COUNT", strconv.Itoa(shrinkKeys))
	if err == nil {
		err = page.Err()
	}
	if err != nil || len(page.Array) != 2 {
		return "", errors.CombineErrors(err, errors.New("SCAN answered something else"))
	}
	keys := page.Array[1].Array
	var asks, out []byte
	for _, k := range keys {
		asks = resp.AppendCommand(asks, "PEXPIRETIME", string(k.Str))
	}
	many, at := 0, 0
	if len(keys) > 0 {
		if err := x.to.Exchange(asks, len(keys), func(v resp.Value) {
			if v.Int > stretchLeast {
				out = resp.AppendCommand(out, "EVAL", shrink, "1", string(keys[at].Str), strconv.Itoa(stretchLeast), strconv.Itoa(stretchMillis))
				many++
			}
			at++
		}); err != nil {
			return "", err
		}
	}
	if many > 0 {
		var failed error
		if err := x.to.Exchange(out, many, func(v resp.Value) {
			if v.Err() != nil {
				failed = v.Err()
			}
		}); err != nil || failed != nil {
			return "", errors.CombineErrors(err, failed)
		}
	}
	return page.Array[0].Text(), nil
}

// finish ends the following for good: the target is a server of its own.
func (x *follower) finish(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := x.reach(ctx)
		if err == nil {
			if err = x.settle(ctx); err == nil {
				return x.to.Expect("DEL", x.mark())
			}
		}
		if x.known = false; tries == 10 || ctx.Err() != nil {
			return err
		}
		<-time.After(followPause << tries)
	}
}
