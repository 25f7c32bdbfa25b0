// Package lake keeps the history of events, decisions and outcomes as Parquet
// files by day, for people and programs that ask questions in bulk.
//
// Guarantees:
//
//   - Each fact of the log that counts stands in exactly one file the manifest
//     names, once: the manifest holds the log positions the files reach, and is
//     replaced whole, so that kill -9 at any point neither loses nor repeats a
//     row. What the engine leaves out as a second copy is left out here.
//   - A file never changes once it has its name; numbers are not used twice.
//   - Rows of somebody erased are not written, and those written before go when
//     [Lake.Erase] is carried out; meanwhile [Snapshot.Erased] names them.
//   - Memory is bounded by one batch, whatever the log holds. Work is done by
//     the goroutine of [Lake.Run] alone, which rests while others are busy.
//
// docs/lake.md describes the files for their readers.
package lake
