// Package transfer copies keys from one server to another: whole, as DUMP and RESTORE do,
// or piece by piece where a value is larger than a command should be. It reads; who calls
// it sends the commands that it makes.
//
// A value that is read in pieces is one moment's value only if nobody writes it meanwhile:
// the proxy sees to that with the key's lock.
package transfer

import (
	"strconv"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// WholeBytes is up to how much memory a value is copied whole.
	WholeBytes = limits.TransferWholeBytes
	// batchBytes bounds the values that are read at once.
	batchBytes = 16 << 20
)

// Command is a command with its arguments.
type Command = [][]byte

// Value is what there is of a key.
type Value struct {
	Key string
	// Found says that the key exists.
	Found bool
	// Large says that it has no Payload, since that would be too long.
	Large bool
	// ExpireAt is in milliseconds of the Unix epoch; 0 is never.
	ExpireAt int64
	// Payload is what DUMP answers.
	Payload []byte
}

// Source reads values.
type Source struct {
	*peer.Conn
	relative bool // the server knows no PEXPIRETIME
}

// Fetch reads the values of keys, in their order, and hands them out one by one.
func (s *Source) Fetch(keys []string, visit func(v Value) error) error {
	for len(keys) > 0 {
		n, err := s.fetch(keys[:min(len(keys), 512)], visit)
		if err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// fetch reads as many of the keys as are read at once.
func (s *Source) fetch(keys []string, visit func(v Value) error) (n int, err error) {
	values, sizes, err := s.survey(keys)
	if err != nil {
		return 0, err
	}
	var dumps [][]string
	total := int64(0)
	for n < len(keys) && (total < batchBytes || n == 0) {
		if v := &values[n]; v.Found && !v.Large {
			dumps = append(dumps, []string{"DUMP", v.Key})
			total += sizes[n]
		}
		n++
	}
	var payloads []resp.Value
	if len(dumps) > 0 {
		if payloads, err = s.Pipeline(dumps); err != nil {
			return 0, err
		}
	}
	for i := range values[:n] {
		v := &values[i]
		if v.Found && !v.Large {
			p := payloads[0]
			payloads = payloads[1:]
			if p.Err() != nil {
				return 0, errors.Wrapf(p.Err(), "DUMP %q", v.Key)
			}
			v.Found, v.Payload = !p.IsNull(), p.Str
		}
		if err := visit(*v); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// survey asks for the times and the sizes of keys.
func (s *Source) survey(keys []string) (values []Value, sizes []int64, err error) {
	name := "PEXPIRETIME"
	if s.relative {
		name = "PTTL"
	}
	asks := make([][]string, 0, 2*len(keys))
	for _, k := range keys {
		asks = append(asks, []string{name, k}, []string{"MEMORY", "USAGE", k, "SAMPLES", "1"})
	}
	replies, err := s.Pipeline(asks)
	if err != nil {
		return nil, nil, err
	}
	values, sizes = make([]Value, len(keys)), make([]int64, len(keys))
	now := time.Now().UnixMilli()
	for i, k := range keys {
		ttl, size := replies[2*i], replies[2*i+1]
		if ttl.Err() != nil {
			if s.relative {
				return nil, nil, errors.Wrap(ttl.Err(), name)
			}
			s.relative = true // a Redis before 7.0
			return s.survey(keys)
		}
		v := Value{Key: k, Found: ttl.Int != -2}
		if ttl.Int >= 0 {
			if v.ExpireAt = ttl.Int; s.relative {
				v.ExpireAt += now
			}
		}
		if size.Kind == resp.KindInt {
			sizes[i] = size.Int
		} else if v.Found {
			if sizes[i], err = s.size(k); err != nil {
				return nil, nil, err
			}
		}
		v.Large = sizes[i] > WholeBytes
		values[i] = v
	}
	return values, sizes, nil
}

// elementBytes is what an element counts for where the server does not tell the memory of
// a value.
const elementBytes = 256

// size estimates a value by the number of its elements.
func (s *Source) size(key string) (int64, error) {
	kind, err := s.Do("TYPE", key)
	if err != nil {
		return 0, err
	}
	ask, ok := map[string]string{"string": "STRLEN", "list": "LLEN", "set": "SCARD", "hash": "HLEN", "zset": "ZCARD", "stream": "XLEN"}[kind.Text()]
	if !ok {
		return 0, nil
	}
	n, err := s.Do(ask, key)
	if err != nil || ask == "STRLEN" {
		return n.Int, err
	}
	return n.Int * elementBytes, nil
}

// Restore is the command that makes the key what v is; v is not Large.
func Restore(v Value, replace bool) Command {
	if !v.Found {
		return words("DEL", v.Key)
	}
	c := append(words("RESTORE", v.Key, strconv.FormatInt(v.ExpireAt, 10)), v.Payload)
	if replace {
		c = append(c, []byte("REPLACE"))
	}
	return append(c, []byte("ABSTTL"))
}

func words(s ...string) Command {
	c := make(Command, len(s))
	for i := range s {
		c[i] = []byte(s[i])
	}
	return c
}
