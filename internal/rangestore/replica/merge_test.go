package replica

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// TestBuriedRows: a scan does not read all the rows that were deleted as a span and still
// are on disk, and finds everything else.
func TestBuriedRows(t *testing.T) {
	const rows = 3000
	r := alone(t, Options{})
	defer r.Stop()
	step := func() {
		for worked := true; worked; {
			var err error
			if worked, err = r.Step(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	step()
	key := func(i int) []byte { return fmt.Appendf([]byte{4}, "%06d", i) }
	disk := r.o.Disk.(*memDisk)
	for i := range rows {
		disk.rows[string(key(i))] = "old"
	}
	clear := func(from, to int) base.Mutation {
		return base.Mutation{Op: base.OpClearRange, Key: key(from), Value: key(to)}
	}
	a := r.NewAttempt()
	a.Begin(0, HoldNever)
	if _, err := a.Commit(&Request{Mutations: []base.Mutation{
		clear(100, 1000), clear(1000, 1900), // adjoin
		clear(1950, 1980), // a few rows
		clear(2000, 2800),
		{Op: base.OpSet, Key: key(1500), Value: []byte("new")}, {Op: base.OpSet, Key: key(2100), Value: []byte("new")},
	}}); err != nil {
		t.Fatal(err)
	}
	step()
	var want []string
	for i := range rows {
		gone := i >= 100 && i < 1900 || i >= 1950 && i < 1980 || i >= 2000 && i < 2800
		switch {
		case i == 1500 || i == 2100:
			want = append(want, string(key(i))+"new")
		case !gone:
			want = append(want, string(key(i))+"old")
		}
	}
	for _, reverse := range []bool{false, true} {
		disk.read = 0
		a.Begin(0, HoldNever)
		var got []string
		if err := a.Scan(base.Span{Start: []byte{4}, End: []byte{5}}, reverse, func(k, v []byte) bool {
			got = append(got, string(k)+string(v))
			return true
		}); err != nil {
			t.Fatal(err)
		}
		a.Abort()
		if reverse {
			slices.Reverse(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("reverse %t: %d rows, want %d", reverse, len(got), len(want))
		}
		if most := len(want) + 30 + 4*buriedRows; disk.read > most {
			t.Errorf("reverse %t: %d rows of the disk were read, %d would do", reverse, disk.read, most)
		}
	}
}
