//go:build !unix

package query

// confine has no means here but DuckDB's own.
func confine(*task) error { return nil }
