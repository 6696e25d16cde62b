package census

// SizeEvery is how often the size of a range that grows is estimated.
const SizeEvery = sizeEvery

// Crowd adds so many changes that old ones will be forgotten.
func (c *Census) Crowd() { c.mu.changes = append(make([]change, 5000), c.mu.changes...) }
