package proxy

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// differencesMost bounds the differences that are kept, the latest ones; shownBytes what is
	// shown of each reply and command.
	differencesMost = limits.ProxyDifferences
	shownBytes      = 200
	// unmirroredMost bounds the names of commands that were not mirrored.
	unmirroredMost = 100
)

// shadowResult is what came of a comparison.
type shadowResult uint8

const (
	shadowEqual shadowResult = iota
	shadowDiffers
	shadowSkipped
)

// Compared counts the comparisons of a command.
type Compared struct {
	Equal   int64 `json:"equal"`
	Differs int64 `json:"differs"`
	Skipped int64 `json:"skipped"`
}

// Difference is something that the two sides answered differently.
type Difference struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"` // "read" or "write"
	DB      int       `json:"db"`
	Command string    `json:"command"`
	Decided string    `json:"decided"`
	Follows string    `json:"follows"`
}

// Switched is a change of mode.
type Switched struct {
	At     time.Time `json:"at"`
	From   Mode      `json:"from"`
	To     Mode      `json:"to"`
	HeldMs float64   `json:"held_ms"`
	Forced bool      `json:"forced,omitempty"`
}

// report counts.
type report struct {
	since                                                  time.Time
	commands, reads, applied, loose, copied, overflowed    atomic.Int64
	unknownScripts, differences, readDiffers, writeDiffers atomic.Int64

	mu         sync.Mutex
	compared   map[string]*Compared
	latest     []Difference
	switches   []Switched
	unmirrorOf map[string]int64
	problems   [2]string
}

func newReport() *report {
	return &report{since: time.Now(), compared: map[string]*Compared{}, unmirrorOf: map[string]int64{}}
}

func (r *report) shadow(name string, result shadowResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.compared[name]
	if c == nil {
		c = &Compared{}
		r.compared[name] = c
	}
	switch result {
	case shadowEqual:
		c.Equal++
	case shadowDiffers:
		c.Differs++
	default:
		c.Skipped++
	}
}

func (r *report) difference(it *item, reply []byte, what string) {
	r.differences.Add(1)
	if what == "read" {
		r.readDiffers.Add(1)
	} else {
		r.writeDiffers.Add(1)
	}
	d := Difference{At: time.Now(), What: what, DB: it.db, Command: showCommands(it.raw), Decided: show(it.want), Follows: show(reply)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.latest) == differencesMost {
		copy(r.latest, r.latest[1:])
		r.latest = r.latest[:differencesMost-1]
	}
	r.latest = append(r.latest, d)
}

// showCommands is the beginning of commands, as one would type them.
func showCommands(raw []byte) string {
	var b []byte
	parser := resp.NewParser(resp.Limits{})
	for len(raw) > 0 && len(b) < shownBytes {
		args, n, err := parser.Next(raw)
		if err != nil || len(args) == 0 {
			break
		}
		raw = raw[n:]
		if len(b) > 0 {
			b = append(b, "; "...)
		}
		for i, a := range args {
			if i > 0 {
				b = append(b, ' ')
			}
			if len(b) >= shownBytes {
				break
			}
			if short := a[:min(len(a), shownBytes)]; bytes.ContainsFunc(short, func(c rune) bool { return c <= ' ' || c > '~' }) || len(a) == 0 {
				b = resp.AppendQuoted(b, short)
			} else {
				b = append(b, short...)
			}
		}
	}
	return cut(string(b))
}

func show(reply []byte) string {
	s := string(resp.AppendQuoted(nil, reply[:min(len(reply), shownBytes)]))
	return cut(strings.Trim(s, `"`))
}

func cut(s string) string {
	if len(s) > shownBytes {
		return s[:shownBytes] + "…"
	}
	return s
}

func (r *report) unmirrored(name []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.ToLower(cut(string(name)))
	if _, known := r.unmirrorOf[key]; known || len(r.unmirrorOf) < unmirroredMost {
		r.unmirrorOf[key]++
	}
}

// unmirroredNames are the commands that the deciding side executed, and nobody else.
func (r *report) unmirroredNames() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for n := range r.unmirrorOf {
		names = append(names, n)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func (r *report) setProblem(side Side, err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems[side] = time.Now().UTC().Format(time.RFC3339) + " " + err.Error()
}

func (r *report) switched(from, to Mode, held time.Duration, forced bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.switches) == differencesMost {
		r.switches = r.switches[1:]
	}
	r.switches = append(r.switches, Switched{time.Now(), from, to, float64(held.Microseconds()) / 1000, forced})
}

// Report is what the proxy knows of itself.
type Report struct {
	Mode           Mode                `json:"mode"`
	Since          time.Time           `json:"since"`
	Clients        int                 `json:"clients"`
	Commands       int64               `json:"commands"`
	Complete       bool                `json:"complete"`
	Why            string              `json:"why,omitempty"`
	FollowerUp     bool                `json:"follower_up"`
	QueueItems     int                 `json:"queue_items"`
	QueueBytes     int                 `json:"queue_bytes"`
	Sent           int64               `json:"sent"` // since the mode was entered
	Applied        int64               `json:"applied"`
	Loose          int64               `json:"refused_while_incomplete"`
	Copied         int64               `json:"copied"`
	Overflowed     int64               `json:"overflowed"`
	DivergedNow    int64               `json:"diverged_now"`
	DivergedEver   int64               `json:"diverged_ever"`
	Diverged       []Diverged          `json:"diverged,omitempty"`
	UnknownScripts int64               `json:"unknown_scripts"`
	Unmirrored     string              `json:"unmirrored,omitempty"`
	Reads          int64               `json:"reads"`
	Compared       map[string]Compared `json:"compared"`
	Differences    int64               `json:"differences"`
	Latest         []Difference        `json:"latest_differences,omitempty"`
	Switches       []Switched          `json:"switches,omitempty"`
	Sync           Progress            `json:"sync"`
	Primary        string              `json:"primary"`
	Secondary      string              `json:"secondary"`
	Problems       []string            `json:"problems,omitempty"`
}

// shownDiverged is how many of the keys that differ are shown.
const shownDiverged = 100

// Report tells what the proxy knows of itself.
func (p *Proxy) Report() Report {
	r := p.report
	out := Report{Since: r.since, Commands: r.commands.Load(), Applied: r.applied.Load(), Loose: r.loose.Load(), Copied: r.copied.Load(),
		Overflowed: r.overflowed.Load(), DivergedNow: p.ledger.count.Load(), DivergedEver: p.ledger.total.Load(), Diverged: p.ledger.list(shownDiverged),
		UnknownScripts: r.unknownScripts.Load(), Unmirrored: r.unmirroredNames(), Reads: r.reads.Load(), Differences: r.differences.Load(),
		Sync: p.syncing.get(), Primary: p.cfg.Servers[Primary].Addr, Secondary: p.cfg.Servers[Secondary].Addr, Compared: map[string]Compared{}}
	out.Complete, out.Why = p.completeness()
	p.gate.RLock()
	out.Mode = p.mode
	if f := p.follower; f != nil {
		out.FollowerUp, out.Sent = f.up.Load(), f.sent.Load()
		out.QueueItems, out.QueueBytes, _ = f.q.backlog()
	}
	p.gate.RUnlock()
	p.clients.Lock()
	out.Clients = len(p.clients.sessions)
	p.clients.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, c := range r.compared {
		out.Compared[name] = *c
	}
	out.Latest = append(out.Latest, r.latest...)
	out.Switches = append(out.Switches, r.switches...)
	for side, problem := range r.problems {
		if problem != "" {
			out.Problems = append(out.Problems, Side(side).String()+": "+problem)
		}
	}
	return out
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "mode          %s since %s\n", r.Mode, r.Since.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "sides         primary %s, secondary %s\n", r.Primary, r.Secondary)
	fmt.Fprintf(&b, "clients       %d, %d commands\n", r.Clients, r.Commands)
	if r.Mode.follows() {
		state := "complete"
		if !r.Complete {
			state = "INCOMPLETE: " + r.Why
		}
		if !r.FollowerUp {
			state += ", NOT REACHABLE"
		}
		fmt.Fprintf(&b, "%-13s %s\n", r.Mode.decider().other(), state)
		fmt.Fprintf(&b, "queue         %d items, %d bytes\n", r.QueueItems, r.QueueBytes)
		fmt.Fprintf(&b, "mirrored      %d writes, %d keys copied, %d not queued for want of room\n", r.Applied, r.Copied, r.Overflowed)
		fmt.Fprintf(&b, "diverged      %d keys now, %d ever\n", r.DivergedNow, r.DivergedEver)
	}
	for _, d := range r.Diverged {
		fmt.Fprintf(&b, "              db %d %q: %s\n", d.DB, d.Key, d.Reason)
	}
	if r.Unmirrored != "" {
		fmt.Fprintf(&b, "NOT MIRRORED  %s\n", r.Unmirrored)
	}
	if s := r.Sync; s.Running || !s.Since.IsZero() {
		state := "done"
		switch {
		case s.Running:
			state = s.Phase
		case s.Error != "":
			state = "FAILED: " + s.Error
		}
		fmt.Fprintf(&b, "sync          %s, %d of about %d keys, %d removed\n", state, s.Keys, s.Total, s.Removed)
	}
	names := make([]string, 0, len(r.Compared))
	for n := range r.Compared {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		head := "reads"
		if i > 0 {
			head = ""
		}
		c := r.Compared[n]
		fmt.Fprintf(&b, "%-13s %-20s %d equal, %d different, %d not compared\n", head, n, c.Equal, c.Differs, c.Skipped)
	}
	fmt.Fprintf(&b, "differences   %d\n", r.Differences)
	for _, d := range r.Latest {
		fmt.Fprintf(&b, "              %s db %d %s: %s\n              decided %s, follows %s\n", d.What, d.DB, d.At.UTC().Format(time.RFC3339), d.Command, d.Decided, d.Follows)
	}
	for _, s := range r.Switches {
		fmt.Fprintf(&b, "switch        %s %s to %s, clients held %.1f ms\n", s.At.UTC().Format(time.RFC3339), s.From, s.To, s.HeldMs)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "problem       %s\n", p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
