package kvgrpc

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/proto"
)

// remembering is an engine that notes how stale reads may be.
type remembering struct {
	kv.Engine
	allowed []time.Duration
}

func (e *remembering) ReadStale(ctx context.Context, o kv.StaleOptions, read func(kv.View) error) (base.Stamp, error) {
	e.allowed = append(e.allowed, o.Staleness)
	at, err := e.ReadVersion(ctx)
	if err != nil {
		return 0, err
	}
	a := e.NewAttempt()
	a.Begin(kv.AttemptOptions{At: at})
	defer a.Abort()
	return at, read(attemptAt{a, at})
}

func (e *remembering) StaleReads() (near, far int64) { return 0, 0 }
func (e *remembering) Distant() bool                 { return false }

func (e *remembering) Whereabouts([]byte) (base.RangeID, bool) { return 0, false }

// attemptAt is an attempt as a view.
type attemptAt struct {
	kv.Attempt
	at base.Stamp
}

func (a attemptAt) Stamp() base.Stamp { return a.at }

// TestStaleness: reads say how stale they may be; all others are not.
func TestStaleness(t *testing.T) {
	e := &remembering{Engine: memory()}
	f := serve(t, e, Options{})
	ctx := t.Context()
	put, err := f.kv.Put(ctx, &proto.PutRequest{Key: []byte("k"), Value: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range []uint32{0, 1500} {
		if r, err := f.kv.Get(ctx, &proto.GetRequest{Key: []byte("k"), MaxStalenessMs: ms}); err != nil || string(r.GetValue()) != "v" || !r.GetExists() || r.GetVersion() < put.GetVersion() {
			t.Errorf("%v, %v", r, err)
		}
		if r, err := f.kv.Scan(ctx, &proto.ScanRequest{MaxStalenessMs: ms}); err != nil || len(r.GetPairs()) != 1 || r.GetMore() || r.GetVersion() < put.GetVersion() {
			t.Errorf("%v, %v", r, err)
		}
		if r, err := f.raw.RawGet(ctx, &proto.RawGetRequest{Key: []byte("k"), MaxStalenessMs: ms}); err != nil || string(r.GetValue()) != "v" || !r.GetExists() {
			t.Errorf("%v, %v", r, err)
		}
		if r, err := f.raw.RawScan(ctx, &proto.RawScanRequest{Limit: 1, MaxStalenessMs: ms}); err != nil || len(r.GetPairs()) != 1 || !r.GetMore() {
			t.Errorf("%v, %v", r, err)
		}
		if _, err := f.raw.RawGet(ctx, &proto.RawGetRequest{Namespace: "nope", MaxStalenessMs: ms}); status.Code(err) != codes.NotFound {
			t.Errorf("%v", err)
		}
	}
	if want := slices.Repeat([]time.Duration{1500 * time.Millisecond}, 5); !slices.Equal(e.allowed, want) {
		t.Errorf("allowed were %v", e.allowed)
	}
}

// TestStalenessAlone: where there is nobody else to ask, nothing is stale.
func TestStalenessAlone(t *testing.T) {
	onEngines(t, func(t *testing.T, f *fixture) {
		for _, value := range []string{"1", "2", "3"} {
			if _, err := f.raw.RawPut(t.Context(), &proto.RawPutRequest{Key: []byte("k"), Value: []byte(value)}); err != nil {
				t.Fatal(err)
			}
			if r, err := f.raw.RawGet(t.Context(), &proto.RawGetRequest{Key: []byte("k"), MaxStalenessMs: 60_000}); err != nil || string(r.GetValue()) != value {
				t.Errorf("%v, %v", r, err)
			}
		}
	})
}
