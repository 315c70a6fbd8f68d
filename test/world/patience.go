package world

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// On a busy machine a resolver does not hear from a server in time, though both are well. unbound is then silent, and
// knot-resolver says SERVFAIL without a word why after four seconds. That is no answer, and no fault of a server: it is
// asked again, as a stub resolver does. What a resolver says of DNSSEC is an answer at once: both give an extended error
// with it (RFC 8914). A server that is not a resolver of this package is never asked twice: there a lost answer is a
// fault.

const (
	// tries is how often a resolver is asked in all.
	tries = 3
	// tryLimit is for how long each time: unbound gives a server up after half a minute, and asks it again when it is asked.
	tryLimit = 20 * time.Second
)

// asked counts the questions to a resolver, and those that were put again.
type asked struct{ all, again atomic.Int64 }

// tooOften reports whether so many questions were put again that it is not the machine.
func (a *asked) tooOften() bool { return a.again.Load() > 3+a.all.Load()/100 }

var resolvers sync.Map // those that run: netip.AddrPort to *asked

// startResolver is start of a resolver, which may be asked again.
func startResolver(t testing.TB, addr netip.AddrPort, dir, ready, program string, args ...string) *Process {
	t.Helper()
	p := start(t, addr, dir, ready, program, args...)
	IsResolver(t, addr, program)
	return p
}

// IsResolver says that a resolver is at an address while the test runs.
func IsResolver(t testing.TB, addr netip.AddrPort, program string) {
	t.Helper()
	count := new(asked)
	resolvers.Store(addr, count)
	t.Cleanup(func() {
		resolvers.Delete(addr)
		if count.tooOften() {
			t.Errorf("%s gave no answer of its own to %d of %d questions", program, count.again.Load(), count.all.Load())
		}
	})
}

// Query sends a message over UDP, and over TCP when the answer says that it is truncated. A resolver that gives no answer
// of its own is asked again; again is how often it was. One that does so often fails its test in the end.
func Query(server netip.AddrPort, m *dns.Msg) (answer *dns.Msg, again int, err error) {
	count, isResolver := resolvers.Load(server)
	if !isResolver {
		answer, err = query(server, m, patience)
		return answer, 0, err
	}
	count.(*asked).all.Add(1)
	for ; ; again++ {
		answer, err = query(server, m, tryLimit)
		if err == nil && !gaveUp(answer) {
			count.(*asked).again.Add(int64(again))
			return answer, again, nil
		}
		if again == tries-1 {
			return answer, again, err // it says so each time: that is its answer
		}
	}
}

func query(server netip.AddrPort, m *dns.Msg, limit time.Duration) (answer *dns.Msg, err error) {
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: limit}
		answer, _, err = client.Exchange(m, server.String())
		if err != nil {
			return nil, fmt.Errorf("%s %s at %v over %s: %w", m.Question[0].Name, dns.Type(m.Question[0].Qtype), server, network, err)
		}
		if !answer.Truncated {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("%s: truncated over TCP", m.Question[0].Name)
}

// aboutDNSSEC are the extended errors that say something of what a server served (RFC 8914 4).
var aboutDNSSEC = []uint16{
	dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, dns.ExtendedErrorCodeUnsupportedDSDigestType, dns.ExtendedErrorCodeDNSSECIndeterminate,
	dns.ExtendedErrorCodeDNSBogus, dns.ExtendedErrorCodeSignatureExpired, dns.ExtendedErrorCodeSignatureNotYetValid,
	dns.ExtendedErrorCodeDNSKEYMissing, dns.ExtendedErrorCodeRRSIGsMissing, dns.ExtendedErrorCodeNoZoneKeyBitSet, dns.ExtendedErrorCodeNSECMissing,
}

// gaveUp reports whether a resolver says that it found out nothing.
func gaveUp(answer *dns.Msg) bool {
	if answer.Rcode != dns.RcodeServerFailure {
		return false
	}
	opt := answer.IsEdns0()
	return opt == nil || !slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		ede, ok := o.(*dns.EDNS0_EDE)
		return ok && slices.Contains(aboutDNSSEC, ede.InfoCode)
	})
}

// TakenAddr is FreeAddr with a socket that has it for UDP until it is closed.
func TakenAddr(t testing.TB) (netip.AddrPort, *net.UDPConn) {
	t.Helper()
	for range 100 {
		addr := FreeAddr(t)
		if conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr)); err == nil {
			return addr, conn
		} // some process's question went out by it meanwhile
	}
	t.Fatal("every port that is free is taken a moment later")
	return netip.AddrPort{}, nil
}
