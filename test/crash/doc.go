// Package crash ends the real binary with kill -9 under load, over and over, and
// verifies after each restart what was promised to whom.
//
// Sixteen connections write, half of them with pipelines. Each numbers its writes
// of each kind, so that after the crash the numbers that are there can be held
// against those that were sent and those that were acknowledged:
//
//   - a list of numbers (APPEND) goes on exactly where it ended, without gaps or
//     repetitions, at least to the last acknowledged number;
//   - a counter lies between acknowledged and sent;
//   - a key of its own for each number has its value if that was acknowledged, and
//     its value or none otherwise;
//   - what a transaction (MULTI, or BEGIN over several models) wrote to several
//     keys is there in all of them or in none;
//   - a transaction left open is nowhere.
//
// The operating system survives, so this does not test what reaches the disk: the
// simulator does. It tests that the binary is assembled the way the simulated
// parts were.
package crash
