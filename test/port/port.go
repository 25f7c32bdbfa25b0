// Package port gives tests addresses for programs they start.
//
// An address is the test's own until the test ends, also while the program that
// listens on it is down: nobody who asks the system for any port is given it.
package port

import (
	"fmt"
	"syscall"
	"testing"
)

// Reserve returns an address of this machine that nothing listens on. A socket
// stays bound to it that never listens, which keeps the system from giving the
// port away; who names the port may listen on it, with SO_REUSEADDR as servers
// set it.
func Reserve(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}
