// Package redistest runs commands of Redis's data model as a door would, and as Redis does:
// World is a namespace over the reference engine with a clock that tests move, and checks
// what is stored after each command; Server is a redis-server to compare it with. Both
// render replies in the same way. World knows the commands of package redis; tests of
// other packages add those of their types.
package redistest
