package remote

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// TestNobodyIssuesStamps: whoever asks while no leader is found is told with the others:
// the questions do not pile up, each for as long as a leader is looked for.
func TestNobodyIssuesStamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newTestClient(&peers{answer: [4]func() ([]byte, error){1: down, 2: down, 3: down}})
		began := time.Now()
		const questions = 3 * stampsMax
		answered := make(chan error, questions)
		for range questions {
			client.AskStamp(func(_ base.Stamp, err error) { answered <- err })
		}
		for range questions {
			if err := <-answered; !errors.Is(err, base.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > limits.LeaderWait+2*pauseMax {
			t.Errorf("it took %v", took)
		}
	})
}
