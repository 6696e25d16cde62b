package load

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/stratadb/strata/internal/base"
)

// TestScenarios runs the files in testdata. The commands:
//
//	sample seed=n       a new sample
//	record times=n      lines "read|write key" or "read|write start end", all of them n times over;
//	                    a "%" in a key stands for the number of the repetition, three digits
//	decay
//	best start end      the verdict for the range [start, end)
//	counts
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := New(1)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "sample":
				var seed uint64
				d.ScanArgs(t, "seed", &seed)
				s = New(seed)
				return ""
			case "record":
				times := 1
				d.MaybeScanArgs(t, "times", &times)
				for i := range times {
					recordLines(s, strings.ReplaceAll(d.Input, "%", fmt.Sprintf("%03d", i)))
				}
				return ""
			case "decay":
				s.Decay()
				return ""
			case "best":
				return s.Best(base.Span{Start: []byte(d.CmdArgs[0].Key), End: []byte(d.CmdArgs[1].Key)}).String() + "\n"
			case "counts":
				reads, writes := s.Counts()
				return fmt.Sprintf("%d reads, %d writes\n", reads, writes)
			}
			t.Fatalf("no such command: %s", d.Cmd)
			return ""
		})
	})
}

func recordLines(s *Sample, lines string) {
	for _, line := range strings.Split(lines, "\n") {
		f := strings.Fields(line)
		if len(f) == 2 {
			s.RecordKey([]byte(f[1]), f[0] == "write")
		} else {
			s.RecordSpan(base.Span{Start: []byte(f[1]), End: []byte(f[2])}, f[0] == "write")
		}
	}
}

// TestReservoirIsUniform: of many accesses each has the same chance to be kept.
func TestReservoirIsUniform(t *testing.T) {
	const accesses, rounds = 1000, 400
	firstHalf := 0
	for seed := range uint64(rounds) {
		s := New(seed * 7919)
		for i := range accesses {
			s.RecordKey(strconv.AppendInt(nil, int64(i), 10), false)
		}
		for _, a := range s.kept {
			if i, _ := strconv.Atoi(string(a.start)); i < accesses/2 {
				firstHalf++
			}
		}
	}
	if share := float64(firstHalf) / (rounds * SampleSize); share < 0.48 || share > 0.52 {
		t.Fatalf("%.3f of the kept accesses are of the first half", share)
	}
}

func BenchmarkRecord(b *testing.B) {
	s, key := New(1), []byte("some key of an ordinary length")
	b.ReportAllocs()
	for b.Loop() {
		s.RecordKey(key, true)
	}
}
