package latency

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// samplesMax is how many peaks of an event are kept.
const samplesMax = 160

// Sample is the longest that an event took in some second.
type Sample struct {
	Second int64
	Millis int64
}

// event is what is known of one kind of event.
type event struct {
	samples []Sample
	max     int64
}

// Events keep the peaks of events by their names. The zero value is ready.
type Events struct {
	mu struct {
		sync.Mutex
		named map[string]*event
	}
}

// Add notes how long an event took.
func (e *Events) Add(name string, took time.Duration, now time.Time) {
	ms, second := took.Milliseconds(), now.Unix()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.named == nil {
		e.mu.named = map[string]*event{}
	}
	ev := e.mu.named[name]
	if ev == nil {
		ev = &event{}
		e.mu.named[name] = ev
	}
	ev.max = max(ev.max, ms)
	if n := len(ev.samples); n > 0 && ev.samples[n-1].Second == second {
		ev.samples[n-1].Millis = max(ev.samples[n-1].Millis, ms)
		return
	}
	ev.samples = append(ev.samples, Sample{second, ms})
	if n := len(ev.samples) - samplesMax; n > 0 {
		ev.samples = slices.Delete(ev.samples, 0, n)
	}
}

// Names are those of all events that were noted.
func (e *Events) Names() (names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name := range e.mu.named {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// History are the peaks of an event, the oldest first, and the highest of all times.
func (e *Events) History(name string) (samples []Sample, highest int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ev := e.mu.named[name]; ev != nil {
		return slices.Clone(ev.samples), ev.max
	}
	return nil, 0
}

// Reset forgets events, all if none are named, and tells how many there were.
func (e *Events) Reset(names ...string) (n int64) {
	if len(names) == 0 {
		names = e.Names()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range names {
		if e.mu.named[name] != nil {
			delete(e.mu.named, name)
			n++
		}
	}
	return n
}

// graphRows is how high a graph is, graphColumns how many peaks it shows.
const (
	graphRows    = 4
	graphColumns = 80
)

// graph draws the peaks of an event, each in a column with its age below.
func (e *Events) graph(name string, now time.Time) string {
	samples, highest := e.History(name)
	if len(samples) == 0 {
		return ""
	}
	samples = samples[max(0, len(samples)-graphColumns):]
	low, high := samples[0].Millis, samples[0].Millis
	ages := make([]string, len(samples))
	for i, s := range samples {
		low, high = min(low, s.Millis), max(high, s.Millis)
		ages[i] = age(max(0, now.Unix()-s.Second))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s - high %d ms, low %d ms (all time high %d ms)\n%s\n", name, high, low, highest, strings.Repeat("-", graphColumns))
	for row := graphRows - 1; row >= 0; row-- {
		b.WriteString(strings.TrimRight(column(samples, low, high, row), " ") + "\n")
	}
	b.WriteByte('\n')
	for i := range 4 {
		line := make([]byte, len(ages))
		for j, text := range ages {
			line[j] = ' '
			if i < len(text) {
				line[j] = text[i]
			}
		}
		if text := strings.TrimRight(string(line), " "); text != "" {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

// column are the marks of a row of a graph.
func column(samples []Sample, low, high int64, row int) string {
	line := make([]byte, len(samples))
	for i, s := range samples {
		height := int64(graphRows*3 - 1)
		if high > low {
			height = (s.Millis - low) * height / (high - low)
		}
		switch at := int(height) - row*3; {
		case at > 2:
			line[i] = '|'
		case at < 0:
			line[i] = ' '
		default:
			line[i] = "_o#"[at]
		}
	}
	return string(line)
}

func age(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm", seconds/60)
	case seconds < 24*3600:
		return fmt.Sprintf("%dh", seconds/3600)
	}
	return fmt.Sprintf("%dd", seconds/(24*3600))
}

// Report says in words what was noted.
func (e *Events) Report(enabled bool) string {
	names := e.Names()
	switch {
	case !enabled && len(names) == 0:
		return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
	case len(names) == 0:
		return "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n"
	}
	var b strings.Builder
	b.WriteString("Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n")
	for i, name := range names {
		samples, highest := e.History(name)
		var sum int64
		for _, s := range samples {
			sum += s.Millis
		}
		mean := sum / int64(max(1, len(samples)))
		var off int64
		for _, s := range samples {
			off += max(s.Millis-mean, mean-s.Millis)
		}
		period := 0.0
		if n := len(samples); n > 1 {
			period = float64(samples[n-1].Second-samples[0].Second) / float64(n-1)
		}
		fmt.Fprintf(&b, "%d. %s: %d latency spikes (average %dms, mean deviation %dms, period %.2f sec). Worst all time event %dms.\n",
			i+1, name, len(samples), mean, off/int64(max(1, len(samples))), period, highest)
	}
	b.WriteString("\nWhat took long is in SLOWLOG GET, if it took longer than slowlog-log-slower-than.\n")
	return b.String()
}
