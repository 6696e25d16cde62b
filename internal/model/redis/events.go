package redis

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
