package parent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	// inFlight is how many questions a server has at once, over its one connection (RFC 7766 6.2.1): at 50 ms
	// from here, it is asked 320 a second.
	inFlight = 16
	// enough is after how many connections without an answer a server is taken for silent, until the next
	// look.
	enough = 2
)

// ask asks one server of the parent about zones, over one connection while the server keeps it open.
func ask(ctx context.Context, addr netip.AddrPort, zones map[string]bool) answers {
	replies := answers{}
	left := slices.Sorted(maps.Keys(zones))
	at, silent := inFlight, 0
	for len(left) > 0 {
		before := len(left)
		var err error
		if left, err = askOver(ctx, addr, left, at, replies); err == nil {
			continue
		}
		if before-len(left) < inFlight {
			at = 1 // some servers answer only the first of several (RFC 7766 6.2.1.1)
		}
		if len(left) < before {
			silent = 0
			continue
		}
		if silent++; silent == enough || ctx.Err() != nil {
			for _, zone := range left {
				replies[zone] = answer{err: err}
			}
			return replies
		}
		left = append(left[1:], left[0]) // it may have been the question
	}
	return replies
}

// askOver asks over one connection, some questions at a time, until something fails. It returns the zones that
// were not answered.
func askOver(ctx context.Context, addr netip.AddrPort, zones []string, at int, replies answers) ([]string, error) {
	c, err := connect(ctx, "tcp", addr)
	if err != nil {
		return zones, err
	}
	defer c.close()
	for len(zones) > 0 {
		n := min(at, len(zones))
		asked, err := c.askTogether(zones[:n], replies)
		zones = append(asked, zones[n:]...)
		if err != nil {
			return zones, fmt.Errorf("%s: %w", addr, err)
		}
	}
	return nil, nil
}

// connection is one over TCP or UDP. It ends with a context.
type connection struct {
	*dns.Conn
	ctx  context.Context
	stop func() bool
}

func connect(ctx context.Context, network string, addr netip.AddrPort) (*connection, error) {
	dialer := net.Dialer{Timeout: connecting}
	conn, err := dialer.DialContext(ctx, network, addr.String())
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &connection{&dns.Conn{Conn: conn}, ctx, stop}, nil
}

func (c *connection) close() {
	c.stop()
	c.Close()
}

// exchange asks one question. What comes over UDP with another id may be late, or forged.
func (c *connection) exchange(q *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	c.SetDeadline(time.Now().Add(wait)) // where it fails, so does the next write
	if err := c.WriteMsg(q); err != nil {
		return nil, c.because(err)
	}
	for {
		m, err := c.ReadMsg()
		if err != nil {
			return nil, c.because(err)
		}
		if m.Id == q.Id {
			return m, nil
		}
	}
}

// askTogether asks about some zones at once, and returns those that were not answered.
func (c *connection) askTogether(zones []string, replies answers) (left []string, err error) {
	c.SetDeadline(time.Now().Add(patience)) // where it fails, so does the next write
	asked := map[uint16]*dns.Msg{}
	of := map[uint16]string{}
	defer func() {
		for _, id := range slices.Sorted(maps.Keys(of)) {
			left = append(left, of[id])
		}
	}()
	for i, zone := range zones {
		q := new(dns.Msg).SetQuestion(dns.CanonicalName(zone), dns.TypeDS)
		q.Id = uint16(i) // nobody guesses into a connection
		q.RecursionDesired = false
		q.SetEdns0(dns.DefaultMsgSize, false)
		asked[q.Id], of[q.Id] = q, zone
	}
	for id := range uint16(len(zones)) {
		if err := c.WriteMsg(asked[id]); err != nil {
			return nil, c.because(err)
		}
	}
	for len(of) > 0 {
		m, err := c.ReadMsg()
		if err != nil {
			return nil, c.because(err)
		}
		zone, ok := of[m.Id]
		if !ok {
			return nil, errors.New("it sent a reply without a query")
		}
		delete(of, m.Id)
		if replies[zone] = read(m, dns.CanonicalName(zone)); !answersQuestion(m, asked[m.Id]) {
			replies[zone] = answer{err: errors.New("it answered another question")}
		}
	}
	return nil, nil
}

// because is why a connection failed: its context has ended, or else what it says itself.
func (c *connection) because(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}
