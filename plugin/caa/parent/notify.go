package parent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// attempts are how NOTIFY is sent until an answer comes. RFC 1996 3.6 has six, a minute apart, for secondaries,
// and allows a backoff; a parent that misses them all looks by itself some time.
var attempts = []struct {
	network string
	wait    time.Duration
}{{"udp", time.Second}, {"udp", 2 * time.Second}, {"udp", 4 * time.Second}, {"tcp", patience}}

// Notify notifies the parent of a zone that its CDS or CDNSKEY have changed, if the parent publishes a target for that
// (RFC 9859): notified is the target, by name and port. It is empty without an error if the parent publishes
// none, as most do; with an error it is the target that could not be notified. It is called when all servers of the
// zone have the new records (4.2).
func (a *Asker) Notify(ctx context.Context, zone string) (notified string, err error) {
	zone = dns.CanonicalName(zone)
	r := newRound(a)
	d, ok, err := r.endpoint(ctx, zone)
	if err != nil {
		return "", fmt.Errorf("%s: cannot find out whether its parent accepts NOTIFY(CDS): %w", zone, err)
	}
	if !ok {
		return "", nil
	}
	notified = net.JoinHostPort(d.target, strconv.Itoa(int(d.port)))
	if err := notify(ctx, r.addresses(ctx, d.target, d.port), zone); err != nil {
		return notified, fmt.Errorf("%s: %s did not accept NOTIFY(CDS): %w", zone, notified, err)
	}
	return notified, nil
}

// notify has one of a host's addresses acknowledge.
func notify(ctx context.Context, host []server, zone string) error {
	last := host[len(host)-1].err // why there is no address, or not all of them
	for _, attempt := range attempts {
		for _, s := range host {
			if s.err != nil {
				continue
			}
			last = notifyOver(ctx, attempt.network, s, zone, attempt.wait)
			if refused := new(refusedNotify); last == nil || errors.As(last, &refused) {
				return last
			}
		}
	}
	return last
}

// refusedNotify is an answer that is no acknowledgement. There is no use in sending more.
type refusedNotify struct{ rcode int }

func (e *refusedNotify) Error() string { return "it answered " + dns.RcodeToString[e.rcode] }

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
		return fmt.Errorf("%s over %s: its reply does not answer the NOTIFY", s, network)
	case m.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("%s: %w", s, &refusedNotify{m.Rcode})
	case !answersQuestion(m, q):
		return fmt.Errorf("%s over %s: it answered for another zone or type", s, network)
	}
	return nil
}
