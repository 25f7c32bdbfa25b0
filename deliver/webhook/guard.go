package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/rapport-engine/rapport"
)

// Guard keeps requests away from the inside of the deployment's network
// (server-side request forgery). It looks at the address a connection is
// really made to, after names were resolved.
type Guard struct {
	hosts    map[string]bool
	networks []netip.Prefix
}

// NewGuard returns a Guard that lets through public addresses and, besides,
// what the deployment allows: host names ("hooks.intranet"), addresses
// ("10.1.2.3") and networks ("10.1.0.0/16"). The error is Invalid.
func NewGuard(allow []string) (*Guard, error) {
	g := &Guard{hosts: map[string]bool{}}
	for _, s := range allow {
		if p, err := netip.ParsePrefix(s); err == nil {
			g.networks = append(g.networks, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			a = a.Unmap().WithZone("")
			g.networks = append(g.networks, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		if s == "" || strings.ContainsAny(s, "/:@ *") {
			return nil, rapport.Errorf(rapport.Invalid, "%q is neither a host name, an address nor a network", s)
		}
		g.hosts[strings.ToLower(strings.TrimSuffix(s, "."))] = true
	}
	return g, nil
}

// refusedError tells that an address is not to be dialled.
type refusedError struct{ addr string }

func (e *refusedError) Error() string {
	return fmt.Sprintf("%s is not a public address; this deployment does not allow it", e.addr)
}

// dial connects as an http.Transport asks for, and checks each address before
// it is connected to.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout}
	if !g.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] {
		d.Control = func(network, address string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(address)
			if err != nil || network != "tcp4" && network != "tcp6" || !g.allows(ip.Addr()) {
				return &refusedError{address}
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// allows reports whether an address may be dialled.
func (g *Guard) allows(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range g.networks {
		if p.Contains(a.WithZone("")) {
			return true
		}
	}
	return public(a)
}

// allowsPlain reports whether a host may be spoken to without TLS: only one
// the deployment names.
func (g *Guard) allowsPlain(host string) bool {
	if g.hosts[strings.ToLower(strings.TrimSuffix(host, "."))] {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range g.networks {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// special are the networks of the IANA special-purpose registries (RFC 6890
// and its updates) that are not reached over the public internet, and those
// that carry another address inside (NAT64, 6to4, Teredo), behind which an
// inside address could hide.
var special = func() (out []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// globalUnicast6 is all that is handed out of IPv6 so far (RFC 4291, IANA).
var globalUnicast6 = netip.MustParsePrefix("2000::/3")

// public reports whether an address belongs to the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !globalUnicast6.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
