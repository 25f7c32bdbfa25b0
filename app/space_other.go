//go:build !unix

package app

import "errors"

// diskSpace cannot tell.
func diskSpace(string) (free, total int64, err error) {
	return 0, 0, errors.New("not on this system")
}
