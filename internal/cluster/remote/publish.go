package remote

import "github.com/stratadb/strata/internal/base"

// Publish relays a message of clients to the other nodes. They get those of this node in
// their order, or do not get them: nobody waits for that.
func (c *Client) Publish(message []byte) {
	for _, node := range c.others() {
		if node != c.self {
			c.to.Send(node, kindPublish, message)
		}
	}
}

// OnPublish gives f what other nodes relay.
func (v *Server) OnPublish(f func(message []byte) error) { v.published.Store(&f) }

func (v *Server) publish(from base.NodeID, message []byte, _ bool) {
	f := v.published.Load()
	if f == nil {
		return
	}
	if err := (*f)(message); err != nil {
		v.log.Warn("message of a client", "from", from, "error", err)
	}
}
