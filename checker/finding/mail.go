package finding

import (
	"context"
	"net/url"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// maxMailboxes is how many mail addresses are looked up: more are not needed, and each is up to three queries to servers
// that the RRset's owner chooses.
const maxMailboxes = 20

// mailboxes looks up whether mail can reach the addresses of the Relevant RRset.
func (k *Collector) mailboxes(ctx context.Context, c climb.Climb) []Mailbox {
	var out []Mailbox
	last := c.Last()
	for _, p := range last.RRset {
		for _, address := range mailAddresses(p) {
			domain, ok := mailDomain(address)
			if !ok || len(out) == maxMailboxes {
				continue
			}
			m := Mailbox{Tag: strings.ToLower(p.Tag), Address: address, Owner: last.GovernedBy(), MX: k.Resolver.Lookup(ctx, domain, dns.TypeMX)}
			for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				if m.MX.Kind == resolve.NoData && m.Host.Kind != resolve.Data && m.Host.Err == nil {
					m.Host = k.Resolver.Lookup(ctx, domain, rrtype)
				}
			}
			out = append(out, m)
		}
	}
	return out
}

// mailAddresses are those that a property names: several, and each percent-encoded, in a mailto: URL (RFC 6068 2).
func mailAddresses(p issuance.Property) []string {
	switch strings.ToLower(p.Tag) {
	case issuance.TagContactEmail:
		return []string{strings.TrimSpace(p.Value)}
	case issuance.TagIodef:
	default:
		return nil
	}
	u, err := url.Parse(p.Value)
	if err != nil || u.Scheme != "mailto" {
		return nil
	}
	fields := []string{u.Opaque}
	for key, values := range u.Query() {
		if strings.EqualFold(key, "to") {
			fields = append(fields, values...)
		}
	}
	var out []string
	for _, field := range fields {
		for address := range strings.SplitSeq(field, ",") {
			if address, err := url.PathUnescape(address); err == nil && address != "" {
				out = append(out, address)
			}
		}
	}
	return out
}

// mailDomain is the domain of an address. A local part may be quoted, with an @ in it; an address literal is no
// domain, and one that is not in ASCII is not looked up.
func mailDomain(address string) (string, bool) {
	i := strings.LastIndexByte(address, '@')
	domain := address[i+1:]
	name, ok := dnsname.Canonical(domain)
	ascii := strings.IndexFunc(domain, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	return name, i > 0 && ok && ascii && domain[0] != '['
}
