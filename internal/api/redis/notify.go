package redis

import (
	"strconv"
	"strings"

	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
)

// eventLetters are the letters of notify-keyspace-events, in Redis's order: classes, where
// the events go, and two classes that A does not mean. A bit stands for each.
const eventLetters = "g$lshzxetdnKEm"

// eventFlags are a set of them.
type eventFlags uint32

func eventFlag(letter byte) eventFlags {
	if i := strings.IndexByte(eventLetters, letter); i >= 0 {
		return 1 << i
	}
	return 0
}

func eventSet(letters string) (f eventFlags) {
	for i := range len(letters) {
		f |= eventFlag(letters[i])
	}
	return f
}

// eventAll is what A stands for.
var eventAll = eventSet("g$lshzxetd")

// parseEvents reads the setting.
func parseEvents(text string) (f eventFlags, ok bool) {
	for i := range len(text) {
		one := eventFlag(text[i])
		if text[i] == 'A' {
			one = eventAll
		}
		if one == 0 {
			return 0, false
		}
		f |= one
	}
	return f, true
}

func (f eventFlags) String() string {
	var b strings.Builder
	if f&eventAll == eventAll {
		b.WriteByte('A')
		f &^= eventAll | eventFlag('n')
	}
	for i := range len(eventLetters) {
		if f&(1<<i) != 0 {
			b.WriteByte(eventLetters[i])
		}
	}
	return b.String()
}

// wants reports whether anybody may be told of a class.
func (f eventFlags) wants(class model.EventClass) bool {
	return f&eventFlag(byte(class)) != 0 && f&eventSet("KE") != 0
}

// appendEvent appends the messages that an event is.
func (f eventFlags) appendEvent(list []pubsub.Message, space pubsub.Space, db uint8, class model.EventClass, name string, key []byte) []pubsub.Message {
	if !f.wants(class) {
		return list
	}
	at := "@" + strconv.Itoa(int(db)) + "__:"
	key = append([]byte(nil), key...)
	if f&eventFlag('K') != 0 {
		list = append(list, pubsub.Message{Space: space, Channel: append([]byte("__keyspace"+at), key...), Payload: []byte(name)})
	}
	if f&eventFlag('E') != 0 {
		list = append(list, pubsub.Message{Space: space, Channel: []byte("__keyevent" + at + name), Payload: key})
	}
	return list
}

// database is the session's, and tells of what is done if anybody wants to know.
func (x *executor) database(s *session) *model.DB {
	if s.srv.settings.events.Load() == 0 || s.handle == nil {
		return s.handle
	}
	if x.watched.of != s.handle {
		x.watched.of, x.watched.db = s.handle, s.handle.WithEvents(x)
	}
	return x.watched.db
}

// Event implements model.Events: it is published when the transaction has committed.
func (x *executor) Event(db uint8, class model.EventClass, name string, key []byte) {
	s := x.call.s
	to := &x.published
	if s.tx != nil {
		to = &s.txState.published
	}
	*to = eventFlags(s.srv.settings.events.Load()).appendEvent(*to, s.space(), db, class, name, key)
}

// overdue collects what the Expirer has done to a database.
type overdue struct {
	srv   *Server
	space pubsub.Space
	list  []pubsub.Message
}

// Event implements model.Events.
func (o *overdue) Event(db uint8, class model.EventClass, name string, key []byte) {
	o.list = eventFlags(o.srv.settings.events.Load()).appendEvent(o.list, o.space, db, class, name, key)
}
