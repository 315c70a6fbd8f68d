package rolls

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// anyCache is all that a cache may hold, of what servers really answered: unbound, when something does not
// validate, asks for the keys again, and forgives what a cache in the middle would not. Each RRset is kept for
// its TTL after it was seen last, and each mixture of DS, DNSKEY and data must validate.
type anyCache struct {
	parents []netip.AddrPort
	child   netip.AddrPort
	held    [3]map[string]*copied // DS, DNSKEY, data
	checked map[string]bool       // mixtures
	mixed   int
}

// copied is an RRset with its signatures, and until when a cache may hold it.
type copied struct {
	rrs   []dns.RR
	sigs  []*dns.RRSIG
	until time.Time
}

// look asks all servers, as a resolver may at any moment, and checks what it gets with all that is held.
func (c *anyCache) look() error {
	for _, server := range c.parents {
		c.hold(0, server, child, dns.TypeDS)
	}
	c.hold(1, c.child, child, dns.TypeDNSKEY)
	c.hold(2, c.child, "n0.example.org.", dns.TypeCAA)
	for _, held := range c.held {
		for text, rrset := range held {
			if time.Now().After(rrset.until) {
				delete(held, text)
			}
		}
	}
	for d, ds := range c.held[0] {
		for k, keys := range c.held[1] {
			for r, data := range c.held[2] {
				if mixture := d + k + r; !c.checked[mixture] {
					c.checked[mixture] = true
					c.mixed++
					if err := validate(ds, keys, data); err != nil {
						return fmt.Errorf("%w:\n%s\n%s\n%s", err, d, k, r)
					}
				}
			}
		}
	}
	return nil
}

func (c *anyCache) hold(kind int, server netip.AddrPort, name string, qtype uint16) {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.SetEdns0(1232, true)
	answer, _, err := (&dns.Client{Net: "tcp"}).Exchange(m, server.String())
	if err != nil || answer.Rcode == dns.RcodeServerFailure {
		return // one that stops at the end of the test, or has no keys yet: nobody keeps that
	}
	rrset := &copied{until: time.Now().Add(ttl * time.Second)}
	for _, rr := range answer.Answer {
		if sig, ok := rr.(*dns.RRSIG); ok {
			rrset.sigs = append(rrset.sigs, sig)
		} else {
			rrset.rrs = append(rrset.rrs, rr)
		}
	}
	lines := append(world.Texts(answer.Answer, qtype), world.Texts(answer.Answer, dns.TypeRRSIG)...)
	slices.Sort(lines)
	if c.held[kind] == nil {
		c.held[kind] = map[string]*copied{}
	}
	c.held[kind][strings.Join(lines, "\n")] = rrset
}

// validate follows a DS RRset, of which nothing but the digests counts here, to data; each algorithm of DS must
// have signed DNSKEY, and each of DNSKEY the data (RFC 4035 2.2).
func validate(ds, keys, data *copied) error {
	var trusted []*dns.DNSKEY
	for _, rr := range ds.rrs {
		for _, key := range keys.rrs {
			if key := key.(*dns.DNSKEY); key.ToDS(dns.SHA256).Digest == strings.ToLower(rr.(*dns.DS).Digest) {
				trusted = append(trusted, key)
			}
		}
	}
	if len(trusted) == 0 {
		return fmt.Errorf("no DNSKEY is named by DS")
	}
	var all []*dns.DNSKEY
	for _, key := range keys.rrs {
		all = append(all, key.(*dns.DNSKEY))
	}
	for _, rr := range ds.rrs {
		if !signed(keys, trusted, rr.(*dns.DS).Algorithm) {
			return fmt.Errorf("DNSKEY is not signed by a key that DS names, by algorithm %d", rr.(*dns.DS).Algorithm)
		}
	}
	for _, key := range all {
		if !signed(data, all, key.Algorithm) {
			return fmt.Errorf("data are not signed by a key of DNSKEY, by algorithm %d", key.Algorithm)
		}
	}
	return nil
}

// signed reports whether an RRset has a signature by one of the keys and an algorithm.
func signed(rrset *copied, keys []*dns.DNSKEY, algorithm uint8) bool {
	for _, sig := range rrset.sigs {
		for _, key := range keys {
			if key.Algorithm == algorithm && sig.Algorithm == algorithm && sig.KeyTag == key.KeyTag() && sig.Verify(key, rrset.rrs) == nil {
				return true
			}
		}
	}
	return false
}
