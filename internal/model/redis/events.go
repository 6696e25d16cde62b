package redis

import "strings"

// EventClass is a class of keyspace events: the letter that selects it in Redis's
// setting notify-keyspace-events.
type EventClass byte

// Event classes.
const (
	EventGeneric EventClass = 'g'
	EventString  EventClass = '$'
	EventList    EventClass = 'l'
	EventSet     EventClass = 's'
	EventHash    EventClass = 'h'
	EventZSet    EventClass = 'z'
	EventStream  EventClass = 't'
	EventExpired EventClass = 'x'
	EventEvicted EventClass = 'e'
	EventKeyMiss EventClass = 'm'
	EventNew     EventClass = 'n'
)

// Places that events can go to.
const (
	EventKeyspace EventClass = 'K'
	EventKeyevent EventClass = 'E'
)

// Events is told what commands did, in their order. The transaction that did it
// may run again (K1) or fail: whoever implements Events forgets what it heard
// when its closure starts over, and publishes after the commit. key lives until
// the transaction ends.
type Events interface {
	Event(db uint8, class EventClass, name string, key []byte)
}

// Event tells the database's sink what a command did to the key.
func (e *Entry) Event(class EventClass, name string) {
	if e.DB.events != nil {
		e.DB.events.Event(e.DB.number, class, name, e.key)
	}
}

// eventLetters are the letters of notify-keyspace-events, in Redis's order: classes, where
// the events go, and two classes that A does not mean. A bit stands for each.
const eventLetters = "g$lshzxetdnKEm"

// EventClasses are a set of them.
type EventClasses uint32

func eventFlag(letter byte) EventClasses {
	if i := strings.IndexByte(eventLetters, letter); i >= 0 {
		return 1 << i
	}
	return 0
}

func eventSet(letters string) (f EventClasses) {
	for i := range len(letters) {
		f |= eventFlag(letters[i])
	}
	return f
}

// eventAll is what A stands for, eventPlaces are those that events can go to.
var eventAll, eventPlaces = eventSet("g$lshzxetd"), eventSet("KE")

// ParseEvents reads the setting.
func ParseEvents(text string) (f EventClasses, ok bool) {
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

// String is the setting.
func (f EventClasses) String() string {
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

// Wants reports whether anybody may be told of a class, or in a place.
func (f EventClasses) Wants(class EventClass) bool {
	return f&eventFlag(byte(class)) != 0 && f&eventPlaces != 0
}
