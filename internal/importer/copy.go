package importer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/migrate/transfer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// functions loads the source's libraries at the target.
func (r *run) functions(ctx context.Context, from *peer.Conn) error {
	list, err := from.Do("FUNCTION", "LIST", "WITHCODE")
	if err != nil || list.Err() != nil || len(list.Array) == 0 {
		return err // a server that knows none has none
	}
	to, err := peer.Dial(ctx, &r.To)
	if err != nil {
		return errors.Wrap(err, "connecting to the target")
	}
	defer func() { _ = to.Close() }()
	for _, library := range list.Array {
		code, ok := library.Get("library_code")
		if !ok {
			continue
		}
		if err := r.function(to, code.Str); err != nil {
			return err
		}
	}
	return nil
}

// function loads a library; where one of its name is, it is replaced only if that is wanted.
func (r *run) function(to *peer.Conn, code []byte) error {
	args := []string{"FUNCTION", "LOAD", string(code)}
	if r.Existing == Replace {
		args = []string{"FUNCTION", "LOAD", "REPLACE", string(code)}
	}
	v, err := to.Do(args...)
	switch {
	case err != nil:
		return err
	case v.Err() == nil:
		r.count(func(s *Summary) { s.Functions++ })
	case r.Existing == Skip && strings.Contains(v.Err().Error(), "already exists"):
		r.count(func(s *Summary) { s.Skipped++ })
	default:
		r.problem(0, "a library of functions", v.Err().Error())
	}
	return nil
}

// copyPage copies keys.
func (r *run) copyPage(e *ends, j job) error {
	var whole []transfer.Value
	var out []byte
	err := e.from.Fetch(j.keys, func(v transfer.Value) error {
		switch {
		case !v.Found: // deleted meanwhile
		case v.Large:
			return r.copyLarge(e, j.db, v)
		default:
			whole = append(whole, v)
			out = resp.AppendCommand(out, transfer.Restore(v, r.Existing == Replace)...)
		}
		return nil
	})
	if err != nil || len(whole) == 0 {
		return err
	}
	return r.restore(e, j.db, whole, out)
}

// restore sends commands for values and looks at the replies.
func (r *run) restore(e *ends, db int, whole []transfer.Value, out []byte) error {
	var existing []transfer.Value
	i := 0
	err := e.to.Exchange(out, len(whole), func(reply resp.Value) {
		v := whole[i]
		i++
		switch {
		case reply.Err() == nil:
			r.count(func(s *Summary) {
				s.Copied++
				s.Bytes += int64(len(v.Payload))
			})
		case strings.HasPrefix(reply.Err().Error(), "BUSYKEY"):
			existing = append(existing, v)
		default:
			r.problem(db, v.Key, reply.Err().Error())
		}
	})
	if err != nil {
		return errors.Wrap(err, "the target")
	}
	for _, v := range existing {
		if err := r.exists(e, db, v); err != nil {
			return err
		}
	}
	return nil
}

// exists decides about a key that the target has.
func (r *run) exists(e *ends, db int, v transfer.Value) error {
	if r.Existing == Skip {
		r.count(func(s *Summary) { s.Skipped++ })
		return nil
	}
	difference := ""
	err := e.to.Fetch([]string{v.Key}, func(there transfer.Value) (err error) {
		if there.Large && e.from.Conn == nil { // there is nobody to ask for pieces
			dump, err := e.to.Do("DUMP", v.Key)
			if err != nil {
				return err
			}
			there.Payload, there.Large = dump.Str, false
		}
		difference, err = e.from.Compare(&e.to, v, there)
		return err
	})
	switch {
	case err != nil:
		return err
	case difference == "":
		r.count(func(s *Summary) { s.Equal++ })
		return nil
	}
	return errors.Wrapf(ErrExists, "db %d %.100q: %s", db, v.Key, difference)
}

// copyLarge copies a value in pieces. While it does the state names the key, so that an
// import that goes on does not take a part for the whole.
func (r *run) copyLarge(e *ends, db int, v transfer.Value) error {
	name := fmt.Sprintf("%d %s", db, v.Key)
	if r.Existing != Replace && !slices.Contains(r.partial(), name) {
		there, err := e.to.Do("EXISTS", v.Key)
		if err != nil {
			return err
		}
		if there.Int > 0 {
			return r.exists(e, db, v)
		}
	}
	if err := r.mark(name, true); err != nil {
		return err
	}
	bytes := 0
	refused := ""
	err := e.from.Pieces(v, func(commands []transfer.Command) error {
		asks := make([][]string, len(commands))
		for i, c := range commands {
			for _, a := range c {
				asks[i] = append(asks[i], string(a))
				bytes += len(a)
			}
		}
		replies, err := e.to.Pipeline(asks)
		for _, reply := range replies {
			if reply.Err() != nil && refused == "" {
				refused = reply.Err().Error()
			}
		}
		return err
	})
	switch {
	case errors.Is(err, transfer.ErrType):
		r.problem(db, v.Key, err.Error())
	case err != nil:
		return err
	case refused != "":
		r.problem(db, v.Key, refused)
	default:
		r.count(func(s *Summary) {
			s.Copied++
			s.Large++
			s.Bytes += int64(bytes)
		})
	}
	return r.mark(name, false)
}

func (r *run) partial() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.state.Large)
}

// mark notes that a large value is being copied, or no longer.
func (r *run) mark(name string, begins bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Large = slices.DeleteFunc(r.state.Large, func(x string) bool { return x == name })
	if begins {
		r.state.Large = append(r.state.Large, name)
	}
	return r.save(true)
}

// verifyPage compares keys.
func (r *run) verifyPage(e *ends, j job) error {
	if len(j.keys) == 0 {
		return nil
	}
	var there []transfer.Value
	if err := e.to.Fetch(j.keys, func(v transfer.Value) error {
		there = append(there, v)
		return nil
	}); err != nil {
		return err
	}
	i := 0
	return e.from.Fetch(j.keys, func(v transfer.Value) error {
		other := there[i]
		i++
		difference, err := e.from.Compare(&e.to, v, other)
		if err != nil {
			return err
		}
		r.count(func(s *Summary) {
			s.Verified++
			if difference == "" {
				return
			}
			s.Different++
			if len(s.Problems) < problemsMost {
				s.Problems = append(s.Problems, fmt.Sprintf("db %d %.100q: %s", j.db, v.Key, difference))
			}
		})
		return nil
	})
}
