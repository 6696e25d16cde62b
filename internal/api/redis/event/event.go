// Package event makes messages of keyspace events.
package event

import (
	"bytes"
	"strconv"

	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
)

// Append appends the messages that an event is, of those that anybody may be told of.
func Append(list []pubsub.Message, f model.EventClasses, space pubsub.Space, db uint8, class model.EventClass, name string, key []byte) []pubsub.Message {
	if !f.Wants(class) {
		return list
	}
	at := "@" + strconv.Itoa(int(db)) + "__:"
	key = bytes.Clone(key)
	if f.Wants(model.EventKeyspace) {
		list = append(list, pubsub.Message{Space: space, Channel: append([]byte("__keyspace"+at), key...), Payload: []byte(name)})
	}
	if f.Wants(model.EventKeyevent) {
		list = append(list, pubsub.Message{Space: space, Channel: []byte("__keyevent" + at + name), Payload: key})
	}
	return list
}
