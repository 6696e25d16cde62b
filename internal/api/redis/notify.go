package redis

import (
	"github.com/stratadb/strata/internal/api/redis/event"
	model "github.com/stratadb/strata/internal/model/redis"
)

// database is the session's; see watch.
func (x *executor) database(s *session) *model.DB { return x.watch(s, s.handle) }

// watch is a database that tells of what is done to it, if anybody wants to know.
func (x *executor) watch(s *session, db *model.DB) *model.DB {
	if s.srv.settings.events.Load() == 0 || db == nil {
		return db
	}
	if x.watched.of != db {
		x.watched.of, x.watched.db = db, db.WithEvents(x)
	}
	return x.watched.db
}

// Event implements model.Events: it is published when the transaction has committed.
func (x *executor) Event(db uint8, class model.EventClass, name string, key []byte) {
	s := x.call.s
	to := x.outgoing(s)
	*to = event.Append(*to, s.srv.eventClasses(), s.space(), db, class, name, key)
}
