package node

import "testing"

func TestShare(t *testing.T) {
	memory := int64(machineMemory())
	if memory == 0 {
		t.Skip("nobody can tell how much memory there is")
	}
	for _, c := range []struct {
		setting     int64
		part        uint64
		least, most int64
		want        int64
	}{
		{setting: 5, part: 1, least: 10, most: 20, want: 5}, // who sets it knows better
		{part: 2, most: memory, want: memory / 2},
		{part: 2, least: memory, most: memory, want: memory},
		{part: 1, most: 20, want: 20},
	} {
		if got := share(c.setting, c.part, 7, c.least, c.most); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
