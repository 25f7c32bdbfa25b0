//go:build !unix

package dedup

import "os"

// mapFile reads the whole file where mapping is not at hand.
func mapFile(path string) ([]byte, error) { return os.ReadFile(path) }

func unmap([]byte) {}
