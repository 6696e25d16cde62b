package data

import (
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/redisnum"
)

// StreamGroups are the commands on what is pending in a stream's groups.
func StreamGroups() []Command {
	const write = command.FlagWrite | command.FlagFast
	rows := []Command{
		{Name: "xack", Summary: "Returns the number of messages that were successfully acknowledged by the consumer group member of a stream.", Since: "5.0.0", Arity: -4,
			Flags: write, Handler: xackCommand},
		{Name: "xclaim", Summary: "Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a consumer group member.", Since: "5.0.0", Arity: -6,
			Flags: write, Handler: xclaimCommand},
		{Name: "xautoclaim", Summary: "Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to as consumer group member.", Since: "6.2.0",
			Arity: -6, Flags: write, Handler: xautoclaimCommand},
		{Name: "xpending", Summary: "Returns the information and entries from a stream consumer group's pending entries list.", Since: "5.0.0", Arity: -3,
			Flags: command.FlagReadonly, Handler: xpendingCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Keys = command.GroupStream, command.OneKey
	}
	return rows
}

func xackCommand(c *Call) error {
	ids, parseErr := streamIDsOf(c.Args[3:])
	if parseErr != nil {
		found, err := stream.HasGroup(c.Txn, c.DB, c.Args[1], c.Args[2])
		if err == nil && found {
			err = parseErr
		}
		return c.Integer(0, err)
	}
	return c.Integer(stream.Ack(c.Txn, c.DB, c.Args[1], c.Args[2], ids))
}

// claimOptions reads XCLAIM's arguments behind the consumer.
func claimOptions(args [][]byte, o *stream.ClaimOptions) (ids []stream.ID, err error) {
	number := func(i int, refusal command.Error) (n int64) {
		ok := false
		if n, ok = redisnum.ParseInt(args[i]); !ok && err == nil {
			err = refusal
		}
		return n
	}
	o.Times = -1
	if o.MinIdle = max(number(0, "ERR Invalid min-idle-time argument for XCLAIM"), 0); err != nil {
		return nil, err
	}
	i := 1
	for ; i < len(args); i++ {
		id, err := stream.ParseID(args[i], 0)
		if err != nil {
			break
		}
		ids = append(ids, id)
	}
	for ; i < len(args) && err == nil; i++ {
		more := i+1 < len(args)
		switch arg := args[i]; {
		case command.Is(arg, "force"):
			o.Force = true
			continue
		case command.Is(arg, "justid"):
			o.JustID = true
			continue
		case more && command.Is(arg, "idle"):
			o.Delivered, o.Idle, o.Given = number(i+1, "ERR Invalid IDLE option argument for XCLAIM"), true, true
		case more && command.Is(arg, "time"):
			o.Delivered, o.Idle, o.Given = number(i+1, "ERR Invalid TIME option argument for XCLAIM"), false, true
		case more && command.Is(arg, "retrycount"):
			o.Times = number(i+1, "ERR Invalid RETRYCOUNT option argument for XCLAIM")
		case more && command.Is(arg, "lastid"):
			o.Last, err = stream.ParseID(args[i+1], 0)
		default:
			return nil, command.Error("ERR Unrecognized XCLAIM option '" + string(arg) + "'")
		}
		i++
	}
	return ids, err
}

func xclaimCommand(c *Call) error {
	o := stream.ClaimOptions{Group: c.Args[2], Consumer: c.Args[3]}
	ids, parseErr := claimOptions(c.Args[4:], &o)
	if parseErr != nil {
		if err := stream.ClaimGroup(c.Txn, c.DB, c.Args[1], c.Args[2]); err != nil {
			return err
		}
		return parseErr
	}
	items, err := stream.Claim(c.Txn, c.DB, c.Args[1], ids, o, nil)
	switch {
	case err != nil:
		return err
	case o.JustID:
		c.streamIDs(items)
	default:
		c.StreamItems(items)
	}
	return nil
}

// autoClaimMax is the greatest COUNT of XAUTOCLAIM.
const autoClaimMax = math.MaxInt64 / 16

func xautoclaimCommand(c *Call) error {
	o := stream.ClaimOptions{Group: c.Args[2], Consumer: c.Args[3], Count: 100}
	idle, ok := redisnum.ParseInt(c.Args[4])
	if !ok {
		return command.Error("ERR Invalid min-idle-time argument for XAUTOCLAIM")
	}
	o.MinIdle = max(idle, 0)
	var err error
	if o.Start, err = intervalEnd(c.Args[5], 0, stream.ID.Next, "ERR invalid start ID for the interval"); err != nil {
		return err
	}
	for i := 6; i < len(c.Args); i++ {
		switch {
		case command.Is(c.Args[i], "count") && i+1 < len(c.Args):
			i++
			if o.Count, ok = redisnum.ParseInt(c.Args[i]); !ok || o.Count < 1 || o.Count > autoClaimMax {
				return command.Error("ERR COUNT must be > 0")
			}
		case command.Is(c.Args[i], "justid"):
			o.JustID = true
		default:
			return command.ErrSyntax
		}
	}
	r, err := stream.AutoClaim(c.Txn, c.DB, c.Args[1], o)
	if err != nil {
		return err
	}
	c.W.Array(3)
	c.StreamID(r.Next)
	if o.JustID {
		c.streamIDs(r.Items)
	} else {
		c.StreamItems(r.Items)
	}
	c.W.Array(len(r.Gone))
	for _, id := range r.Gone {
		c.StreamID(id)
	}
	return nil
}

func xpendingCommand(c *Call) error {
	if len(c.Args) == 3 {
		return pendingSummary(c)
	}
	o, err := pendingOptions(c.Args[3:])
	if err != nil {
		return err
	}
	entries, err := stream.PendingRange(c.Txn, c.DB, c.Args[1], c.Args[2], o, nil)
	if err != nil {
		return err
	}
	now := c.Txn.NowMillis()
	c.W.Array(len(entries))
	for _, p := range entries {
		c.W.Array(4)
		c.StreamID(p.ID)
		c.W.Bulk(p.Consumer)
		c.W.Int(max(now-p.Delivered, 0))
		c.W.Int(p.Times)
	}
	return nil
}

// pendingOptions reads [IDLE ms] start end count [consumer].
func pendingOptions(args [][]byte) (o stream.PendingOptions, err error) {
	if len(args) < 3 || len(args) > 6 {
		return o, command.ErrSyntax
	}
	if command.Is(args[0], "idle") {
		if o.MinIdle, err = command.ParseInt(args[1]); err != nil {
			return o, err
		}
		if len(args) < 5 {
			return o, command.ErrSyntax
		}
		args = args[2:]
	}
	if o.Count, err = command.ParseInt(args[2]); err != nil {
		return o, err
	}
	if o.Start, o.End, err = interval(args[0], args[1]); err == nil && len(args) > 3 {
		o.Consumer = args[3]
	}
	return o, err
}

func pendingSummary(c *Call) error {
	s, err := stream.PendingSummary(c.Txn, c.DB, c.Args[1], c.Args[2])
	if err != nil {
		return err
	}
	c.W.Array(4)
	c.W.Int(s.Count)
	if s.Count == 0 {
		c.W.Null()
		c.W.Null()
		c.W.NullArray()
		return nil
	}
	c.StreamID(s.First)
	c.StreamID(s.Last)
	c.W.Array(len(s.Consumers))
	for _, x := range s.Consumers {
		c.W.Array(2)
		c.W.Bulk(x.Name)
		c.W.BulkInt(x.Count)
	}
	return nil
}
