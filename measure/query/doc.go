// Package query answers SQL over the lake, read-only, with an embedded DuckDB
// in a child process of the same program.
//
// Guarantees:
//
//   - One statement that reads, over views of one state of the lake: events,
//     decisions, outcomes and people. Nothing is written; the child may open the
//     lake's files and nothing else, knows no secrets and has no environment.
//   - Time, memory, processors, rows and bytes are bounded, and so is the number
//     of questions at once. A child that breaks a bound is killed; the server
//     does not notice. DuckDB never runs in the server's own process.
//   - Rows of people being erased are not seen, even before the files are
//     written anew.
package query
