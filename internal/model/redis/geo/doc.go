// Package geo is Redis's commands on places: members of sorted sets (package zset) whose
// scores are cells of a grid of 2^26 by 2^26 over longitudes and latitudes, the bits of
// both in turn. So neighbours share the beginnings of their scores: what is near a point
// is in nine ranges of scores at most.
package geo
