package finding

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// where is the server and its address, for people.
func where(o resolve.Observation) string {
	if o.Server == "" {
		return o.Addr.String() + " over " + strings.ToUpper(string(o.Transport))
	}
	if !o.Addr.IsValid() {
		return dnsname.Bare(o.Server)
	}
	return fmt.Sprintf("%s (%s) over %s", dnsname.Bare(o.Server), o.Addr.Addr(), strings.ToUpper(string(o.Transport)))
}

// serverOf is the server of an observation and its address, for people.
func serverOf(o resolve.Observation) string {
	if !o.Addr.IsValid() {
		return dnsname.Bare(o.Server)
	}
	return addressID(o.Server, o.Addr.Addr())
}

// addressID is a server and one address of it, for people.
func addressID(server string, addr netip.Addr) string {
	return strings.TrimSpace(dnsname.Bare(server) + " (" + addr.String() + ")")
}

func silent(o resolve.Observation) bool { return o.Failure == resolve.Unreachable }

// ignored reports whether a query was sent and got no reply: an address that is skipped is asked nothing.
func ignored(o resolve.Observation) bool { return silent(o) && o.Tries > 0 }

func offline(o resolve.Observation) bool { return o.Failure == resolve.Offline }

// content is an RRset's, sorted, to be compared.
func content(set dnssec.RRset) string {
	var out []string
	for _, rr := range set.RRs {
		if caa, ok := rr.(*dns.CAA); ok {
			out = append(out, fmt.Sprintf("%d %s %q", caa.Flag, strings.ToLower(caa.Tag), caa.Value))
			continue
		}
		out = append(out, dnssec.Text(rr))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func typeName(rrtype uint16) string { return dns.Type(rrtype).String() }
