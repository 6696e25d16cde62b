package importer

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/migrate/transfer"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rdb"
	"github.com/stratadb/strata/internal/wire/resp"
)

// fileBatchBytes and fileBatchKeys bound what of a file is sent at once.
const (
	fileBatchBytes = 4 << 20
	fileBatchKeys  = 256
)

// RunFile copies an RDB file, of which the bytes are in memory or mapped into it.
func RunFile(ctx context.Context, file []byte, o Options) (Summary, error) {
	r := &run{Options: o, begun: time.Now()}
	to, err := peer.Dial(ctx, &o.To)
	if err != nil {
		return r.sum, errors.Wrap(err, "connecting to the target")
	}
	stop := context.AfterFunc(ctx, func() { _ = to.Close() })
	defer stop()
	defer func() { _ = to.Close() }()
	err = r.load(file, &ends{to: transfer.Source{Conn: to}})
	return r.sum, err
}

// load sends what is in a file.
func (r *run) load(file []byte, e *ends) error {
	f, err := rdb.OpenFile(file)
	if err != nil {
		return err
	}
	l := &loading{r: r, ends: e}
	for {
		rec, err := f.Next()
		if errors.Is(err, io.EOF) {
			return l.flush()
		}
		if err != nil {
			return errors.CombineErrors(err, l.flush())
		}
		if err := l.take(&rec); err != nil {
			return err
		}
		if r.Progress != nil {
			l.seen++
			r.Progress(Progress{Phase: "loading", Keys: l.seen, Bytes: int64(f.Done()), Elapsed: time.Since(r.begun)})
		}
	}
}

// loading is an import of a file under way.
type loading struct {
	r     *run
	ends  *ends
	db    int
	whole []transfer.Value
	out   []byte
	seen  int64
}

func (l *loading) take(rec *rdb.Record) error {
	r := l.r
	if rec.ExpireAt != 0 && r.ends != nil {
		rec.ExpireAt = r.ends(rec.ExpireAt)
	}
	switch {
	case rec.Function != nil:
		return r.function(l.ends.to.Conn, rec.Function)
	case r.Databases != nil && !slices.Contains(r.Databases, rec.DB):
		return nil
	case rec.Module:
		r.problem(rec.DB, string(rec.Key), "the value of a module")
		return nil
	case rec.ExpireAt != 0 && rec.ExpireAt <= time.Now().UnixMilli():
		r.count(func(s *Summary) { s.Expired++ })
		return nil
	}
	if rec.DB != l.db {
		if err := l.flush(); err != nil {
			return err
		}
	}
	l.db = rec.DB
	if err := l.ends.to.Select(rec.DB); err != nil {
		return err
	}
	v := transfer.Value{Key: string(rec.Key), Found: true, ExpireAt: rec.ExpireAt}
	if rec.Size() > transfer.WholeBytes && rec.Value.Kind != redis.TypeStream {
		return l.large(rec, v)
	}
	v.Payload = rec.Payload()
	l.whole = append(l.whole, v)
	l.out = resp.AppendCommand(l.out, transfer.Restore(v, r.Existing == Replace)...)
	if len(l.out) > fileBatchBytes || len(l.whole) >= fileBatchKeys {
		return l.flush()
	}
	return nil
}

// flush sends what was taken.
func (l *loading) flush() error {
	whole, out := l.whole, l.out
	l.whole, l.out = nil, nil
	if len(whole) == 0 {
		return nil
	}
	return l.r.restore(l.ends, l.db, whole, out)
}

// large makes a long value piece by piece.
func (l *loading) large(rec *rdb.Record, v transfer.Value) error {
	if err := l.flush(); err != nil {
		return err
	}
	r := l.r
	if r.Existing != Replace {
		there, err := l.ends.to.Do("EXISTS", v.Key)
		if err != nil {
			return err
		}
		if there.Int > 0 {
			v.Payload = rec.Payload()
			return r.exists(l.ends, rec.DB, v)
		}
	}
	p := &pieces{to: l.ends.to.Conn}
	p.send([]string{"DEL", v.Key})
	switch rec.Value.Kind {
	case redis.TypeString:
		for rest := rec.Value.Text; len(rest) > 0; {
			n := min(len(rest), pieceBytes)
			p.send([]string{"APPEND", v.Key, string(rest[:n])})
			rest = rest[n:]
		}
	case redis.TypeList:
		p.elements("RPUSH", v.Key, rec.Value.Elements)
	case redis.TypeSet:
		p.elements("SADD", v.Key, rec.Value.Elements)
	case redis.TypeHash:
		p.fields(v.Key, rec)
	case redis.TypeZSet:
		for i := range rec.Value.Scored {
			x := &rec.Value.Scored[i]
			p.add("ZADD", v.Key, strconv.FormatFloat(x.Score, 'g', -1, 64), string(x.Member))
		}
		p.end()
	}
	if v.ExpireAt != 0 {
		p.send([]string{"PEXPIREAT", v.Key, strconv.FormatInt(v.ExpireAt, 10)})
	}
	switch {
	case p.err != nil:
		return p.err
	case p.refused != "":
		r.problem(rec.DB, v.Key, p.refused)
	default:
		r.count(func(s *Summary) {
			s.Copied++
			s.Large++
			s.Bytes += int64(rec.Size())
		})
	}
	return nil
}

const pieceBytes = limits.TransferPieceBytes

// pieces sends commands that add to a value.
type pieces struct {
	to      *peer.Conn
	args    []string
	bytes   int
	err     error
	refused string
}

func (p *pieces) send(args []string) {
	if p.err != nil || p.refused != "" {
		return
	}
	v, err := p.to.Do(args...)
	if p.err = err; err == nil && v.Err() != nil {
		p.refused = v.Err().Error()
	}
}

// add adds to the command, which is sent when it is long.
func (p *pieces) add(command, key string, args ...string) {
	if len(p.args) == 0 {
		p.args = append(p.args, command, key)
	}
	for _, a := range args {
		p.args = append(p.args, a)
		p.bytes += len(a) + 16
	}
	if p.bytes > pieceBytes {
		p.end()
	}
}

func (p *pieces) end() {
	if len(p.args) > 0 {
		p.send(p.args)
	}
	p.args, p.bytes = nil, 0
}

func (p *pieces) elements(command, key string, all [][]byte) {
	for _, e := range all {
		p.add(command, key, string(e))
	}
	p.end()
}

func (p *pieces) fields(key string, rec *rdb.Record) {
	for i := range rec.Value.Fields {
		x := &rec.Value.Fields[i]
		p.add("HSET", key, string(x.Field), string(x.Value))
	}
	p.end()
	for i := range rec.Value.Fields {
		if x := &rec.Value.Fields[i]; x.ExpireAt != 0 {
			p.send([]string{"HPEXPIREAT", key, strconv.FormatInt(x.ExpireAt, 10), "FIELDS", "1", string(x.Field)})
		}
	}
}
