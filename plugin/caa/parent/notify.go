package parent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// notifyWaits are how long an answer to NOTIFY is waited for before it is sent again. RFC 1996 3.6 has a minute
// and five times for secondaries, and allows a backoff; a parent that misses it looks by itself some time.
var notifyWaits = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// Notify tells the parent of a zone that its CDS or CDNSKEY have changed, where the parent names somebody who
// wants to know (RFC 9859): told is whom, by name and port. It is empty without an error where the parent names
// nobody, as most do, and beside an error it is who could not be told. It is called when all servers of the
// zone have the new records (4.2).
func (a *Asker) Notify(ctx context.Context, zone string) (told string, err error) {
	zone = dns.CanonicalName(zone)
	r := newRound(a)
	d, ok, err := r.endpoint(ctx, zone)
	if err != nil {
		return "", fmt.Errorf("%s: whether its parent wants NOTIFY(CDS) is not known: %w", zone, err)
	}
	if !ok {
		return "", nil
	}
	told = net.JoinHostPort(d.target, strconv.Itoa(int(d.port)))
	if err := notify(ctx, r.addresses(ctx, d.target, d.port), zone); err != nil {
		return told, fmt.Errorf("%s: %s does not take NOTIFY(CDS): %w", zone, told, err)
	}
	return told, nil
}

// notify has one address acknowledge, first over UDP, and if there is no answer over TCP (RFC 1996 3.5, 3.6).
func notify(ctx context.Context, addresses []server, zone string) error {
	var failed error // of the address that was tried last
	silent := addresses
	for _, wait := range notifyWaits {
		for _, s := range slices.Clone(silent) {
			failed = s.err
			if failed == nil {
				failed = notifyOver(ctx, "udp", s, zone, wait)
			}
			var answered *refusedNotify
			switch {
			case failed == nil:
				return nil
			case errors.As(failed, &answered):
				return failed
			case s.err != nil, errors.Is(failed, syscall.ECONNREFUSED), elsewhere(failed):
				silent = slices.DeleteFunc(slices.Clone(silent), func(o server) bool { return o == s })
			}
		}
	}
	for _, s := range addresses {
		if s.err == nil {
			if failed = notifyOver(ctx, "tcp", s, zone, patience); failed == nil {
				return nil
			}
		}
	}
	return failed
}

// refusedNotify is an answer that is no acknowledgement. There is no use in sending more.
type refusedNotify struct{ rcode int }

func (e *refusedNotify) Error() string { return "it answers " + dns.RcodeToString[e.rcode] }

// notifyOver sends one message and waits for its answer. EDNS is left out: who would learn of errors by
// Report-Channel (RFC 9567) would have to run the agent for it.
func notifyOver(ctx context.Context, network string, s server, zone string, wait time.Duration) error {
	c, err := connect(ctx, network, s.addr)
	if err != nil {
		return err
	}
	defer c.close()
	q := new(dns.Msg).SetNotify(zone)
	q.Question[0].Qtype = dns.TypeCDS
	m, err := c.exchange(q, wait)
	switch {
	case err != nil:
		return fmt.Errorf("%s over %s: %w", s, network, err)
	case !m.Response || m.Opcode != dns.OpcodeNotify:
		return fmt.Errorf("%s over %s: what it sends is no answer to NOTIFY", s, network)
	case m.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("%s: %w", s, &refusedNotify{m.Rcode})
	case !answersQuestion(m, q):
		return fmt.Errorf("%s over %s: it answers for another zone or type", s, network)
	}
	return nil
}
