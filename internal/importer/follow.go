package importer

import (
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/migrate/replica"
	"github.com/stratadb/strata/internal/migrate/transfer"
	"github.com/stratadb/strata/internal/wire/resp"
)

// FollowOptions are those of Follow beside those of an import.
type FollowOptions struct {
	Options
	// UntilCaughtUp ends it when the target has all that the source had when it was asked.
	UntilCaughtUp bool
	Files         Files
	// Tell is told of what happens.
	Tell func(what string)
}

// Files is where what has arrived waits.
type Files interface {
	// Temporary is an empty file, which is gone when it is closed.
	Temporary() (replica.File, error)
	// Map gives the bytes of such a file, until release.
	Map(f replica.File) (b []byte, release func(), err error)
}

// ErrNotEmpty refuses to follow into a target with data of its own.
var ErrNotEmpty = errors.New("the target has keys, which would be deleted")

const (
	// followMark begins the name of the key that says how far the target has come.
	followMark = "strata:follow:"
	// followBatch and followBytes bound the commands of a transaction, but for those of one of
	// the source's.
	followBatch = 500
	followBytes = 1 << 20
	// followPause is the first one between two tries; each that comes to nothing doubles it.
	followPause    = 50 * time.Millisecond
	followPauseMax = 5 * time.Second
)

// place is what is stored at the target, in the transaction that brings it there: whatever
// becomes of the importer, each command is executed once.
type place struct {
	ID     string `json:"id"`
	Offset int64  `json:"offset"`
	DB     int    `json:"db"` // that the next command is for
	// Loading says that a file is being loaded, of which nobody knows how much is there.
	Loading bool `json:"loading,omitempty"`
}

// follower brings a source's commands to a target.
type follower struct {
	*run
	f     FollowOptions
	to    *peer.Conn
	at    place
	known bool  // at is what the target has
	goal  int64 // the offset at which it ends
	asked bool  // for it
	link  *replica.Link
	// followed says that it has got as far as to follow, so that whatever fails is tried again.
	followed bool
}

// errTarget is a failure after which nobody knows what the target has done.
var errTarget = errors.New("the target")

// Follow copies a server to the target, and then brings there what is written to it, in its order,
// until ctx ends or, if that is wanted, the target has caught up. Then it is finished: its keys have
// the times that they should have, and nobody can go on from there.
func Follow(ctx context.Context, o FollowOptions) (Summary, error) {
	r := &run{Options: o.Options, begun: time.Now()}
	r.Options.Existing = Replace
	x := &follower{run: r, f: o}
	defer func() {
		if x.to != nil {
			_ = x.to.Close()
		}
	}()
	pause := followPause
	for {
		begun := x.at.Offset
		err := x.session(ctx)
		switch {
		case ctx.Err() != nil, err == nil:
			return x.end(ctx)
		case errors.Is(err, ErrNotEmpty) || !x.followed:
			return r.sum, err
		}
		if pause = min(2*pause, followPauseMax); x.at.Offset > begun {
			pause = followPause
		}
		o.Tell("trying again: " + err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// end finishes what has caught up. Who was interrupted may go on later.
func (x *follower) end(ctx context.Context) (Summary, error) {
	if ctx.Err() != nil {
		if !x.followed {
			return x.sum, ctx.Err()
		}
		x.f.Tell("interrupted: the target's keys do not end by themselves before it has caught up")
		return x.sum, nil
	}
	if err := x.finish(ctx); err != nil || !x.Verify {
		return x.sum, err
	}
	from, err := peer.Dial(ctx, &x.From)
	if err != nil {
		return x.sum, err
	}
	defer func() { _ = from.Close() }()
	err = x.pass(ctx, from, "verifying", x.verifyPage)
	return x.sum, err
}

// session follows as long as both connections last. It returns nil at the goal.
func (x *follower) session(ctx context.Context) (err error) {
	if err := x.reach(ctx); err != nil {
		return err
	}
	l, err := replica.Dial(ctx, &x.From, replica.Position{ID: x.at.ID, Offset: x.at.Offset})
	if err != nil {
		return errors.Wrap(err, "connecting to the source")
	}
	defer l.Release()
	stop := context.AfterFunc(ctx, l.Close)
	defer stop()
	if x.link = l; l.Full {
		if err := x.full(ctx); err != nil {
			return err
		}
		x.f.Tell("everything is copied: following")
	} else {
		x.f.Tell("going on at offset " + strconv.FormatInt(l.From.Offset, 10))
		x.at.ID = l.From.ID
		spool, err := x.f.Files.Temporary()
		if err != nil {
			return err
		}
		l.Stream(spool)
	}
	x.followed = true
	return x.follow(ctx)
}

// reach connects to the target, if need be, and asks how far it is.
func (x *follower) reach(ctx context.Context) error {
	if x.to != nil && x.known {
		return nil
	}
	if x.to != nil {
		_ = x.to.Close()
	}
	to, err := peer.Dial(ctx, &x.To)
	if x.to = to; err != nil {
		x.to = nil
		return errors.Wrap(err, "connecting to the target")
	}
	v, err := to.Do("GET", x.mark())
	if err == nil {
		err = v.Err()
	}
	if err != nil {
		return errors.Wrap(err, "reading how far the target is")
	}
	x.at = place{}
	if !v.IsNull() {
		if err := json.Unmarshal(v.Str, &x.at); err != nil {
			return errors.Wrapf(err, "%s at the target is none of an import", x.mark())
		}
	}
	if x.known = true; x.at.Loading {
		x.at.ID = ""
	}
	return nil
}

func (x *follower) mark() string { return followMark + x.From.Addr }

// full makes the target what the source's file says.
func (x *follower) full(ctx context.Context) error {
	if x.at == (place{}) && x.f.Existing != Replace {
		if _, keys, err := x.to.Databases(nil); err != nil || keys > 0 {
			return errors.CombineErrors(err, ErrNotEmpty)
		}
		if err := x.to.Select(0); err != nil {
			return err
		}
	}
	x.f.Tell("copying everything, as of offset " + strconv.FormatInt(x.link.From.Offset, 10))
	file, err := x.f.Files.Temporary()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := x.link.Snapshot(io.NewOffsetWriter(file, 0)); err != nil {
		return errors.Wrap(err, "receiving the file")
	}
	spool, err := x.f.Files.Temporary()
	if err != nil {
		return err
	}
	x.link.Stream(spool)
	x.known = false
	if err := x.store(place{Loading: true}, []string{"FLUSHALL"}, []string{"FUNCTION", "FLUSH"}); err != nil {
		return err
	}
	b, release, err := x.f.Files.Map(file)
	if err != nil {
		return err
	}
	defer release()
	x.ends = stretched
	if err := x.load(ctx, b); err != nil {
		return err
	}
	if err := x.store(place{ID: x.link.From.ID, Offset: x.link.From.Offset}); err != nil {
		return err
	}
	x.known = true
	return nil
}

// store executes commands at the target and says how far it is.
func (x *follower) store(p place, commands ...[]string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	for _, c := range append(commands, []string{"SET", x.mark(), string(b)}) {
		if err := x.to.Expect(c...); err != nil {
			return errors.CombineErrors(errTarget, err)
		}
	}
	x.at = p
	return nil
}

// follow executes commands until the link or the target fails, or the goal is reached.
func (x *follower) follow(ctx context.Context) error {
	b := &batch{db: x.at.DB}
	for {
		if !b.open && (len(b.commands) >= followBatch || b.bytes >= followBytes || !x.link.More()) {
			if err := x.flush(b); err != nil {
				x.known = false
				return err
			}
			done, err := x.pause(ctx)
			if done || err != nil {
				return err
			}
		}
		args, offset, err := x.link.Next()
		if err != nil {
			return err
		}
		if b.take(args, offset) {
			if err := x.flush(b); err != nil {
				x.known = false
				return err
			}
			if err := x.link.Done(x.at.Offset, true); err != nil {
				return err
			}
		}
	}
}

// pause is between two batches: it shows how far it is, and reports whether that is enough.
func (x *follower) pause(ctx context.Context) (done bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	waiting, behind := x.link.Behind()
	if x.Progress != nil {
		x.Progress(Progress{Phase: "following", Commands: x.sum.Commands, Elapsed: time.Since(x.begun), Waiting: waiting, Behind: behind})
	}
	if !x.f.UntilCaughtUp {
		return false, nil
	}
	if !x.asked {
		if x.goal, err = x.newest(ctx); err != nil {
			return false, err
		}
		x.asked = true
	}
	return x.at.Offset >= x.goal, nil
}

// newest is the source's offset.
func (x *follower) newest(ctx context.Context) (int64, error) {
	from, err := peer.Dial(ctx, &x.From)
	if err != nil {
		return 0, err
	}
	defer func() { _ = from.Close() }()
	info, err := from.Do("INFO", "replication")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info.Text()) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "master_repl_offset:"); ok {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, errors.New("the source does not say how far it is")
}

// batch is a run of commands that are executed in one transaction.
type batch struct {
	commands [][][]byte
	dbs      []int
	bytes    int
	db       int
	offset   int64
	open     bool // within a transaction of the source's
}

// take adds a command; ack says that the source wants to know how far one is.
func (b *batch) take(args [][]byte, offset int64) (ack bool) {
	b.offset = offset
	switch strings.ToLower(string(args[0])) {
	case "multi":
		b.open = true
	case "exec":
		b.open = false
	case "ping":
	case "replconf":
		return !b.open && len(args) > 1 && strings.EqualFold(string(args[1]), "getack")
	case "select":
		if len(args) > 1 {
			b.db, _ = strconv.Atoi(string(args[1]))
		}
	default:
		b.commands, b.dbs = append(b.commands, args), append(b.dbs, b.db)
		for _, a := range args {
			b.bytes += len(a)
		}
	}
	return false
}

// flush executes a batch, with how far the target is then, as one transaction.
func (x *follower) flush(b *batch) error {
	if b.offset <= x.at.Offset {
		return nil
	}
	next := place{ID: x.at.ID, Offset: b.offset, DB: b.db}
	if len(b.commands) == 0 { // nothing that the target has to know now
		x.at = next
		return x.link.Done(next.Offset, false)
	}
	mark, err := json.Marshal(next)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	out := resp.AppendCommand(nil, "MULTI")
	var index []int // of the command that a reply is about
	db := 0
	enter := func(to int) {
		if to != db {
			out, index, db = resp.AppendCommand(out, "SELECT", strconv.Itoa(x.To.DB+to)), append(index, -1), to
		}
	}
	for i, args := range b.commands {
		enter(b.dbs[i])
		out, index = resp.AppendCommand(out, stretch(args, now)...), append(index, i)
	}
	enter(0)
	out, index = resp.AppendCommand(out, "SET", x.mark(), string(mark)), append(index, -1)
	out = resp.AppendCommand(out, "EXEC")
	var last resp.Value
	if err := x.to.Exchange(out, len(index)+2, func(v resp.Value) { last = v }); err != nil {
		return errors.CombineErrors(errTarget, err)
	}
	switch {
	case last.Err() == nil && len(last.Array) == len(index):
		for i, v := range last.Array {
			if index[i] >= 0 {
				x.executed(b, index[i], v)
			}
		}
	case last.Err() != nil && refused(last.Err()):
		if err := x.single(b, string(mark)); err != nil {
			return err
		}
	default: // not now, or nobody knows
		return errors.CombineErrors(errTarget, last.Err())
	}
	x.at = next
	b.commands, b.dbs, b.bytes = nil, nil, 0
	return x.link.Done(next.Offset, false)
}

// single executes the commands of a batch one by one, of which the target has refused some, or all
// as a transaction.
func (x *follower) single(b *batch, mark string) error {
	for i, args := range b.commands {
		if err := x.to.Select(b.dbs[i]); err != nil {
			return errors.CombineErrors(errTarget, err)
		}
		var reply resp.Value
		if err := x.to.Exchange(resp.AppendCommand(nil, stretch(args, time.Now().UnixMilli())...), 1, func(v resp.Value) { reply = v }); err != nil {
			return errors.CombineErrors(errTarget, err)
		}
		if reply.Err() != nil && !refused(reply.Err()) {
			return errors.CombineErrors(errTarget, reply.Err())
		}
		x.executed(b, i, reply)
	}
	if err := x.to.Select(0); err != nil {
		return errors.CombineErrors(errTarget, err)
	}
	if err := x.to.Expect("SET", x.mark(), mark); err != nil {
		return errors.CombineErrors(errTarget, err)
	}
	return nil
}

// refused reports whether an error says that a command is wrong, or too much, and will be the next
// time, too. Other words in front of an error are about the state that a server is in.
func refused(err error) bool {
	word, what, _ := strings.Cut(err.Error(), " ")
	switch word {
	case "ERR":
		return !strings.Contains(what, "shutting down")
	case "EXECABORT", "WRONGTYPE", "NOGROUP", "BUSYGROUP", "BUSYKEY", "NOPERM", "NOSCRIPT", "INVALIDOBJ":
		return true
	}
	return false
}

// executed counts a command and notes what the target has refused.
func (x *follower) executed(b *batch, i int, reply resp.Value) {
	x.count(func(s *Summary) { s.Commands++ })
	if reply.Err() == nil {
		return
	}
	key := ""
	if len(b.commands[i]) > 1 {
		key = string(b.commands[i][1])
	}
	x.problem(b.dbs[i], key, string(b.commands[i][0])+": "+reply.Err().Error())
}

// load brings a file to the target.
func (x *follower) load(ctx context.Context, b []byte) error {
	stop := context.AfterFunc(ctx, func() { _ = x.to.Close() })
	defer stop()
	if err := x.run.load(b, &ends{to: transfer.Source{Conn: x.to}}); err != nil {
		return errors.CombineErrors(errTarget, err)
	}
	return x.to.Select(0)
}
