//go:build race

package raftlog

// flipStride thins out the exhaustive flips where the race detector makes them slow.
const flipStride = 23
