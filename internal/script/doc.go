// Package script runs Redis's scripts and functions: programs in Lua (package lua) with
// Redis's library, on behalf of a Host that executes their commands. It knows neither
// clients nor data.
//
//	Host ──► Engine ── scripts by digest, libraries by name
//	  ▲         │
//	  │         ▼
//	  │      machine (pooled): lua.State with redis, cjson, cmsgpack, struct, bit
//	  └── Call, Tick ──┘
//
// What holds:
//
//	P1  A program changes nothing that the next one sees: globals and libraries are
//	    read-only, and what can be set is set back. The local variables of a library are
//	    the exception: they live as long as the machine that has loaded it.
//	P2  A machine whose program was ended by its Host or by a budget is used no more.
//	P3  What a program keeps in memory is bounded by MemoryBytes, replies that it
//	    was given included.
//	P4  Decoders (cjson, cmsgpack, struct) bound depth, and ask for memory before they
//	    take it: what they are given may be anything.
package script
