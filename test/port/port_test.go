package port_test

import (
	"net"
	"testing"

	"github.com/rapport-engine/rapport/test/port"
)

func TestAReservedAddressIsFreeForThoseWhoNameItAndForNobodyElse(t *testing.T) {
	addr := port.Reserve(t)
	for range 2 { // a program comes and goes
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = l.Close()
	}
	for range 2000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().String() == addr {
			t.Error("somebody else was given it")
		}
		_ = l.Close()
	}
}
