package redis

import (
	"slices"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/glob"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/internal/wire/resp"
)

// subscription is a name that a session is subscribed to.
type subscription struct {
	space pubsub.Space
	text  string
}

// subscriptions are a session's.
type subscriptions struct {
	of    [pubsub.Pattern + 1]map[subscription]struct{}
	bytes int
}

// subscriptionBytes is what a subscription costs beside its name.
const subscriptionBytes = 128

// count is how many names are named in replies about a kind: those of channels and patterns
// together, or those of shard channels.
func (s *subscriptions) count(kind pubsub.Kind) int {
	if kind == pubsub.Shard {
		return len(s.of[pubsub.Shard])
	}
	return len(s.of[pubsub.Channel]) + len(s.of[pubsub.Pattern])
}

func (s *subscriptions) all() int { return s.count(pubsub.Channel) + s.count(pubsub.Shard) }

// Words of a kind, in replies and messages.
var (
	subscribeWords   = [...]string{"subscribe", "ssubscribe", "psubscribe"}
	unsubscribeWords = [...]string{"unsubscribe", "sunsubscribe", "punsubscribe"}
	messageWords     = [...]string{"message", "smessage"}
)

func pubsubCommands() []Command {
	const (
		group = command.GroupPubsub
		end   = command.FlagPubsub | command.FlagNoScript | command.FlagLoading | command.FlagStale | command.FlagPrompt | command.FlagSubscribed
		send  = command.FlagPubsub | command.FlagLoading | command.FlagStale | command.FlagFast | command.FlagPrompt
		ask   = command.FlagPubsub | command.FlagLoading | command.FlagStale | command.FlagPrompt
	)
	const begin = end | command.FlagUnqueued
	sub := func(name, summary, since string, arity int, handler func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: group, Arity: arity, Flags: ask, Kind: command.KindConnection, Handler: handler}
	}
	rows := []Command{
		{Name: "subscribe", Summary: "Listens for messages published to channels.", Since: "2.0.0", Arity: -2, Flags: begin, Handler: subscribe(pubsub.Channel)},
		{Name: "unsubscribe", Summary: "Stops listening to messages posted to channels.", Since: "2.0.0", Arity: -1, Flags: begin, Handler: unsubscribe(pubsub.Channel)},
		{Name: "psubscribe", Summary: "Listens for messages published to channels that match one or more patterns.", Since: "2.0.0", Arity: -2, Flags: begin, Handler: subscribe(pubsub.Pattern)},
		{Name: "punsubscribe", Summary: "Stops listening to messages published to channels that match one or more patterns.", Since: "2.0.0", Arity: -1, Flags: begin, Handler: unsubscribe(pubsub.Pattern)},
		{Name: "ssubscribe", Summary: "Listens for messages published to shard channels.", Since: "7.0.0", Arity: -2, Flags: begin, Keys: command.AllKeys, Handler: subscribe(pubsub.Shard)},
		{Name: "sunsubscribe", Summary: "Stops listening to messages posted to shard channels.", Since: "7.0.0", Arity: -1, Flags: begin, Keys: command.AllKeys, Handler: unsubscribe(pubsub.Shard)},
		{Name: "publish", Summary: "Posts a message to a channel.", Since: "2.0.0", Arity: 3, Flags: send, Handler: publish(pubsub.Channel)},
		{Name: "spublish", Summary: "Post a message to a shard channel", Since: "7.0.0", Arity: 3, Flags: send, Keys: command.OneKey, Handler: publish(pubsub.Shard)},
		{Name: "pubsub", Summary: "A container for Pub/Sub commands.", Since: "2.8.0", Arity: -2, Subcommands: []Command{
			sub("channels", "Returns the active channels.", "2.8.0", -2, activeChannels(pubsub.Channel)),
			sub("numsub", "Returns a count of subscribers to channels.", "2.8.0", -2, countSubscribers(pubsub.Channel)),
			sub("numpat", "Returns a count of unique pattern subscriptions.", "2.8.0", 2, numpatCommand),
			sub("shardchannels", "Returns the active shard channels.", "7.0.0", -2, activeChannels(pubsub.Shard)),
			sub("shardnumsub", "Returns the count of subscribers of shard channels.", "7.0.0", -2, countSubscribers(pubsub.Shard)),
			helpFor("pubsub", "6.2.0", group,
				"CHANNELS [<pattern>]", "    Return the currently active channels matching a <pattern> (default: '*').",
				"NUMPAT", "    Return number of subscriptions to patterns.",
				"NUMSUB [<channel> ...]", "    Return the number of subscribers for the specified channels, excluding", "    pattern subscriptions(default: no channels).",
				"SHARDCHANNELS [<pattern>]", "    Return the currently active shard level channels matching a <pattern> (default: '*').",
				"SHARDNUMSUB [<shardchannel> ...]", "    Return the number of subscribers for the specified shard level channel(s)"),
		}},
	}
	for i := range rows {
		rows[i].Group, rows[i].Kind = group, command.KindConnection
	}
	return rows
}

func (s *session) space() pubsub.Space { return pubsub.Space(s.ns.ID) }

// subscribe begins: from the reply on the client gets what is published.
func subscribe(kind pubsub.Kind) func(c *Call) error {
	return func(c *Call) error {
		s, names := c.s, c.Args[1:]
		subs, space := &s.subs, s.space()
		more := 0
		for _, n := range names {
			more += len(n) + subscriptionBytes
		}
		if subs.bytes+more > limits.SubscriptionBytes {
			return command.Error("ERR too many subscriptions")
		}
		if subs.of[kind] == nil {
			subs.of[kind] = map[subscription]struct{}{}
		}
		s.srv.broker.Subscribe(s, kind, space, names, func(text []byte, added bool) {
			if added {
				subs.of[kind][subscription{space, string(text)}] = struct{}{}
				subs.bytes += len(text) + subscriptionBytes
			}
			c.tellSubscriptions(subscribeWords[kind], text, subs.count(kind))
		}, func() {
			s.flush(c.x)
			c.x.mark = 0
		})
		s.noteSubscriptions()
		s.closing = s.closing || s.over() // who has taken the right meanwhile has not seen them
		return nil
	}
}

// tellSubscriptions replies for one name; nil for none.
func (c *Call) tellSubscriptions(word string, text []byte, count int) {
	c.W.Push(3)
	c.W.BulkString(word)
	if text == nil {
		c.W.Null()
	} else {
		c.W.Bulk(text)
	}
	c.W.Int(int64(count))
}

// noteSubscriptions tells other goroutines how many there are.
func (s *session) noteSubscriptions() {
	s.info.Lock()
	for kind := range s.subs.of {
		s.info.subscriptions[kind] = len(s.subs.of[kind])
	}
	s.info.Unlock()
}

// subscribed reports whether the client waits for messages. It may be called from any goroutine.
func (s *session) subscribed() bool {
	s.info.Lock()
	defer s.info.Unlock()
	return s.info.subscriptions != [pubsub.Pattern + 1]int{}
}

func unsubscribe(kind pubsub.Kind) func(c *Call) error {
	return func(c *Call) error {
		s, word := c.s, unsubscribeWords[kind]
		defer s.noteSubscriptions()
		if len(c.Args) > 1 {
			for _, text := range c.Args[1:] {
				s.unsubscribe(kind, subscription{s.space(), string(text)})
				c.tellSubscriptions(word, text, s.subs.count(kind))
			}
			return nil
		}
		if len(s.subs.of[kind]) == 0 {
			c.tellSubscriptions(word, nil, s.subs.count(kind))
			return nil
		}
		for n := range s.subs.of[kind] {
			s.unsubscribe(kind, n)
			c.tellSubscriptions(word, []byte(n.text), s.subs.count(kind))
		}
		return nil
	}
}

func (s *session) unsubscribe(kind pubsub.Kind, n subscription) {
	if _, had := s.subs.of[kind][n]; had {
		delete(s.subs.of[kind], n)
		s.subs.bytes -= len(n.text) + subscriptionBytes
		s.srv.broker.Unsubscribe(s, kind, n.space, n.text)
	}
}

// unsubscribeAll is for sessions that end, or begin anew.
func (s *session) unsubscribeAll() {
	if s.subs.all() == 0 {
		return
	}
	for kind := range s.subs.of {
		for n := range s.subs.of[kind] {
			s.unsubscribe(pubsub.Kind(kind), n)
		}
	}
	s.noteSubscriptions()
}

// Deliver implements pubsub.Subscriber.
func (s *session) Deliver(d *pubsub.Delivery) {
	s.info.Lock()
	proto := s.info.proto
	s.info.Unlock()
	f := &d.Frames[0]
	if proto == 3 {
		f = &d.Frames[1]
	}
	if *f == nil {
		*f = frame(d, proto)
	}
	s.out.Push(*f, limits.SubscriberOutputBytes)
}

// frame makes what a subscriber is sent.
func frame(d *pubsub.Delivery, proto int) []byte {
	w := resp.Writer{Proto: proto}
	if d.Pattern != nil {
		w.Push(4)
		w.BulkString("pmessage")
		w.Bulk(d.Pattern)
	} else {
		w.Push(3)
		w.BulkString(messageWords[d.Kind])
	}
	w.Bulk(d.Channel)
	w.Bulk(d.Payload)
	return w.Buf
}

// publish sends at once, or, in a transaction, after its commit.
func publish(kind pubsub.Kind) func(c *Call) error {
	return func(c *Call) error {
		b := c.s.srv.broker
		m := pubsub.Message{Kind: kind, Space: c.s.space(), Channel: c.Args[1], Payload: c.Args[2]}
		if c.Txn == nil && c.s.tx == nil {
			c.W.Int(int64(b.Publish(&m)))
			return nil
		}
		c.W.Int(int64(b.Receivers(&m)))
		list := c.x.outgoing(c.s)
		*list = append(*list, m.Clone())
		return nil
	}
}

// outgoing is what the transaction that runs publishes when it has committed.
func (x *executor) outgoing(s *session) *[]pubsub.Message {
	if s.tx != nil {
		return &s.txState.published
	}
	return &x.published
}

func activeChannels(kind pubsub.Kind) func(c *Call) error {
	return func(c *Call) error {
		if len(c.Args) > 3 {
			return c.WrongSubcommand()
		}
		list := c.s.srv.broker.Names(kind, c.s.space(), func(text string) bool {
			return len(c.Args) == 2 || glob.Match(c.Args[2], []byte(text), false)
		})
		slices.Sort(list)
		c.W.Array(len(list))
		for _, text := range list {
			c.W.BulkString(text)
		}
		return nil
	}
}

func countSubscribers(kind pubsub.Kind) func(c *Call) error {
	return func(c *Call) error {
		c.W.Array(2 * (len(c.Args) - 2))
		for _, text := range c.Args[2:] {
			c.W.Bulk(text)
			c.W.Int(int64(c.s.srv.broker.Subscribers(kind, c.s.space(), text)))
		}
		return nil
	}
}

func numpatCommand(c *Call) error {
	c.W.Int(int64(c.s.srv.broker.Patterns(c.s.space())))
	return nil
}

// errSubscribed refuses what a RESP2 client cannot do while it is subscribed: it could not
// tell replies from messages.
func errSubscribed(cmd *Command) error {
	return command.Error("ERR Can't execute '" + strings.ToLower(cmd.FullName()) +
		"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}
