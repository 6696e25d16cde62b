package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// serveAdmin serves the report, the metrics and the switch. Who can reach it may do all of
// it: it belongs on a loopback address.
func (p *Proxy) serveAdmin() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", p.getReport)
	mux.HandleFunc("GET /metrics", p.getMetrics)
	mux.HandleFunc("GET /mode", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, p.Mode()) })
	mux.HandleFunc("POST /mode", p.postMode)
	mux.HandleFunc("POST /sync", p.postSync)
	p.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	p.background(func() { _ = p.http.Serve(p.admin) })
}

func (p *Proxy) getReport(w http.ResponseWriter, r *http.Request) {
	report := p.Report()
	if r.URL.Query().Get("format") == "text" || strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_ = report.WriteText(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(report)
}

func (p *Proxy) postMode(w http.ResponseWriter, r *http.Request) {
	to, err := ParseMode(r.URL.Query().Get("to"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	held, err := p.SetMode(to, r.URL.Query().Get("force") == "true")
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	_, _ = fmt.Fprintf(w, "%s, clients held %.1f ms\n", to, float64(held.Microseconds())/1000)
}

func (p *Proxy) postSync(w http.ResponseWriter, _ *http.Request) {
	if err := p.Sync(); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintln(w, "syncing")
}

// getMetrics writes Prometheus's text format.
func (p *Proxy) getMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	r := p.Report()
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP strata_proxy_%s %s\n# TYPE strata_proxy_%s %s\nstrata_proxy_%s %g\n", name, help, name, kind, name, value)
	}
	truth := func(v bool) float64 {
		if v {
			return 1
		}
		return 0
	}
	metric("clients", "gauge", "Connections of clients.", float64(r.Clients))
	metric("commands_total", "counter", "Commands that clients have sent.", float64(r.Commands))
	metric("complete", "gauge", "1 if the side that follows has everything but what is queued or diverged.", truth(r.Complete))
	metric("follower_up", "gauge", "1 if the side that follows can be reached.", truth(r.FollowerUp))
	metric("queue_items", "gauge", "Writes that wait for the side that follows.", float64(r.QueueItems))
	metric("queue_bytes", "gauge", "Their bytes.", float64(r.QueueBytes))
	metric("mirrored_total", "counter", "Writes that the side that follows has executed.", float64(r.Applied))
	metric("copied_total", "counter", "Keys that were copied.", float64(r.Copied))
	metric("overflowed_total", "counter", "Writes for which the queue had no room.", float64(r.Overflowed))
	metric("diverged_keys", "gauge", "Keys that are known to differ.", float64(r.DivergedNow))
	metric("diverged_keys_total", "counter", "Keys that were known to differ at some time.", float64(r.DivergedEver))
	metric("differences_total", "counter", "Replies of the two sides that differed.", float64(r.Differences))
	metric("reads_total", "counter", "Reads while reads are compared.", float64(r.Reads))
	metric("sync_running", "gauge", "1 while everything is being copied.", truth(r.Sync.Running))
	metric("sync_keys", "gauge", "Keys that the last sync has copied.", float64(r.Sync.Keys))
	fmt.Fprintf(&b, "# HELP strata_proxy_mode 1 for the mode now.\n# TYPE strata_proxy_mode gauge\n")
	for _, m := range []Mode{RedisOnly, DualWrite, DualWriteShadow, StrataPrimary, StrataOnly} {
		fmt.Fprintf(&b, "strata_proxy_mode{mode=%q} %g\n", m, truth(m == r.Mode))
	}
	fmt.Fprintf(&b, "# HELP strata_proxy_compared_total Reads that were compared.\n# TYPE strata_proxy_compared_total counter\n")
	names := make([]string, 0, len(r.Compared))
	for n := range r.Compared {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		c := r.Compared[n]
		for _, x := range []struct {
			result string
			n      int64
		}{{"equal", c.Equal}, {"different", c.Differs}, {"skipped", c.Skipped}} {
			fmt.Fprintf(&b, "strata_proxy_compared_total{command=%q,result=%q} %d\n", n, x.result, x.n)
		}
	}
	_, _ = w.Write([]byte(b.String()))
}
