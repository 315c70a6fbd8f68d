package caa

import (
	"context"
	"strings"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/nonwriter"
	"github.com/miekg/dns"
)

// overlay answers for an unsigned zone whose data a next plugin holds: everything but CAA is that
// plugin's, and CAA is the policy's wherever the name is the zone's to answer for (RFC 8659 3).
func (c *CAA) overlay(ctx context.Context, w dns.ResponseWriter, r *dns.Msg, z *zone, name string) (int, error) {
	q := r.Question[0]
	below := nonwriter.New(w)
	code, err := plugin.NextOrFailure(pluginName, c.Next, ctx, below, r)
	m := below.Msg
	known := z.knows(name)
	switch {
	case m == nil && !(known && q.Qtype == dns.TypeCAA):
		return code, err // nothing was written, so the server writes the code
	case m == nil:
		m = new(dns.Msg).SetReply(r) // the next plugin failed; the policy knows the name and its CAA
	case known && m.Rcode == dns.RcodeNameError:
		m.Rcode = dns.RcodeSuccess // a name with a node exists, and so do those above it (RFC 8020)
	}
	if q.Qtype == dns.TypeCAA {
		z.putCAA(m, name)
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// knows reports whether the policy gives a name existence: it has a node, or stands above one.
func (z *zone) knows(name string) bool {
	return z.existing[name]
}

// putCAA sets the policy's CAA in an answer of the next plugin. Where the name is an alias, lies
// under a zone cut or does not exist the answer says so already and stays as it is.
func (z *zone) putCAA(m *dns.Msg, name string) {
	if m.Rcode != dns.RcodeSuccess || isAlias(m, name) || isReferral(m) {
		return
	}
	node := z.Closest(name)
	m.Authoritative = true
	m.Answer, m.Ns = nil, nil
	for _, rdata := range z.caa[node] {
		h := header(m.Question[0].Name, dns.TypeCAA, node.TTL)
		h.Rdlength = uint16(len(rdata))
		if rr, _, err := dns.UnpackRRWithHeader(h, rdata, 0); err == nil {
			m.Answer = append(m.Answer, rr)
		}
	}
}

// isAlias reports whether the answer begins with an alias at the name or above it (RFC 1034 3.6.2,
// RFC 6672 3.2).
func isAlias(m *dns.Msg, name string) bool {
	for _, rr := range m.Answer {
		switch rr.Header().Rrtype {
		case dns.TypeCNAME:
			return true
		case dns.TypeDNAME:
			if !strings.EqualFold(rr.Header().Name, name) {
				return true // a DNAME's owner itself is not aliased
			}
		}
	}
	return false
}

// isReferral reports whether the answer leads to another zone's servers (RFC 2308 2.1).
func isReferral(m *dns.Msg) bool {
	if len(m.Answer) > 0 || m.Authoritative {
		return false
	}
	ns := false
	for _, rr := range m.Ns {
		switch rr.Header().Rrtype {
		case dns.TypeSOA:
			return false
		case dns.TypeNS:
			ns = true
		}
	}
	return ns
}
