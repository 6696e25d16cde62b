//go:build !race

package raftlog

const flipStride = 1
