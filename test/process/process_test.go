package process

import "testing"

// TestAddressIsClaimed: an address on which nobody listens is given to nobody else, also not to a
// process that counts on its own, until the test ends that has it.
func TestAddressIsClaimed(t *testing.T) {
	FreeAddress(t)
	before := triedPorts.Load()
	var has string
	t.Run("one", func(t *testing.T) {
		has = FreeAddress(t)
		triedPorts.Store(before) // another process
		if other := FreeAddress(t); other == has {
			t.Errorf("%s was given twice", has)
		}
	})
	triedPorts.Store(before)
	if again := FreeAddress(t); again != has {
		t.Errorf("%s is not given again, but %s", has, again)
	}
}
