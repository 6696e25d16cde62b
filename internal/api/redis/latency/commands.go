package latency

import (
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
)

// Latest is LATENCY LATEST.
func (e *Events) Latest(c *data.Call) error {
	names := e.Names()
	c.W.Array(len(names))
	for _, name := range names {
		samples, highest := e.History(name)
		last := Sample{}
		if n := len(samples); n > 0 {
			last = samples[n-1]
		}
		c.W.Array(4)
		c.W.BulkString(name)
		c.W.Int(last.Second)
		c.W.Int(last.Millis)
		c.W.Int(highest)
	}
	return nil
}

// Of is LATENCY HISTORY.
func (e *Events) Of(c *data.Call) error {
	samples, _ := e.History(string(c.Args[2]))
	c.W.Array(len(samples))
	for _, s := range samples {
		c.W.Array(2)
		c.W.Int(s.Second)
		c.W.Int(s.Millis)
	}
	return nil
}

// Forget is LATENCY RESET.
func (e *Events) Forget(c *data.Call) error {
	var names []string
	for _, a := range c.Args[2:] {
		names = append(names, string(a))
	}
	c.W.Int(e.Reset(names...))
	return nil
}

// Graph is LATENCY GRAPH.
func (e *Events) Graph(c *data.Call, now time.Time) error {
	text := e.graph(string(c.Args[2]), now)
	if text == "" {
		return command.Error("ERR No samples available for event '" + string(command.Truncated(c.Args[2], command.EchoedBytes)) + "'")
	}
	c.W.Verbatim("txt", []byte(text))
	return nil
}

// Describe writes the histogram of a command as LATENCY HISTOGRAM does.
func (h *Histogram) Describe(c *data.Call, name string) {
	c.W.BulkString(name)
	c.W.Map(2)
	c.W.BulkString("calls")
	c.W.Int(h.Count())
	c.W.BulkString("histogram_usec")
	steps := h.Steps()
	c.W.Map(len(steps))
	for _, s := range steps {
		c.W.Int(s.Micros)
		c.W.Int(s.Count)
	}
}
