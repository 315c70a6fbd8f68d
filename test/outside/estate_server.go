package outside

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// serveHere answers for a host's zones in this process, as no real server does: CAA beside a CNAME, names with the case
// of the question or with the zone's own. A host without zones refuses.
func serveHere(t testing.TB, h *nameserver) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(h.addr))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(h.addr))
	if err != nil {
		listener.Close()
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{
		{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(h.answer(q, dns.MaxMsgSize)) })},
		{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			size := dns.MinMsgSize
			if opt := q.IsEdns0(); opt != nil {
				size = int(opt.UDPSize())
			}
			_ = w.WriteMsg(h.answer(q, size))
		})},
	} {
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		go srv.ActivateAndServe()
		<-ready
		t.Cleanup(func() { _ = srv.Shutdown() })
	}
}

func (h *nameserver) answer(q *dns.Msg, size int) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	do := false
	if opt := q.IsEdns0(); opt != nil {
		do = opt.Do()
		m.SetEdns0(1232, do)
	}
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	d := h.closest(name, question.Qtype)
	if d == nil {
		m.Rcode = dns.RcodeRefused
		return m
	}
	z := d.zone
	if d.stale != nil && d.hosts[len(d.hosts)-1] == h {
		z = d.stale
	}
	z.answer(m, name, question.Qtype, do, d.style)
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		for i, rr := range section {
			section[i] = d.style.written(rr, question.Name)
		}
	}
	m.Truncate(size)
	return m
}

// closest is the zone that answers: for DS, the one above the cut where this host has both.
func (h *nameserver) closest(name string, rrtype uint16) *domain {
	for skip := rrtype == dns.TypeDS && name != "."; ; skip = false {
		i := slices.IndexFunc(h.domains, func(d *domain) bool { return d.name == name })
		if i >= 0 && !(skip && h.closest(dnsname.Parent(name), dns.TypeNone) != nil) {
			return h.domains[i]
		}
		if name == "." {
			return nil
		}
		name = dnsname.Parent(name)
	}
}

// written is a record with its names in the case that the style has for them.
func (s style) written(rr dns.RR, question string) dns.RR {
	if rr.Header().Rrtype == dns.TypeRRSIG || !s.echoes && !s.shouts {
		return rr
	}
	out := dns.Copy(rr)
	if s.shouts {
		out.Header().Name = strings.ToUpper(out.Header().Name)
	}
	if s.echoes {
		switch rr := out.(type) {
		case *dns.CNAME:
			rr.Target = echo(rr.Target, question)
		case *dns.DNAME:
			rr.Target = echo(rr.Target, question)
		case *dns.NS:
			rr.Ns = echo(rr.Ns, question)
		}
	}
	return out
}

// echo gives what a name has in common with the question's the question's case, as compression does (RFC 1035 4.1.4).
func echo(name, question string) string {
	common := dns.CompareDomainName(name, question)
	if common == 0 {
		return name
	}
	in, of := dns.Split(name), dns.Split(question)
	return name[:in[len(in)-common]] + question[of[len(of)-common]:]
}

// answer is RFC 1034 4.3.2 and RFC 4035 3.1, for NSEC alone.
func (z *zone) answer(m *dns.Msg, name string, rrtype uint16, do bool, style style) {
	put := func(section *[]dns.RR, owner string, rrtype uint16) bool {
		*section = append(*section, z.rrs[owner][rrtype]...)
		if do {
			for _, sig := range z.sigs[owner][rrtype] {
				*section = append(*section, sig)
			}
		}
		return z.rrs[owner][rrtype] != nil
	}
	deny := func(names ...string) {
		put(&m.Ns, z.name, dns.TypeSOA)
		for _, name := range names {
			z.cover(m, name, do)
		}
	}
	if cut := z.cut(name); cut != "" && !(cut == name && rrtype == dns.TypeDS) {
		m.Ns = append(m.Ns, z.rrs[cut][dns.TypeNS]...)
		if z.rrs[cut][dns.TypeDS] != nil {
			put(&m.Ns, cut, dns.TypeDS)
		} else if do {
			put(&m.Ns, cut, dns.TypeNSEC)
		}
		m.Extra = append(m.Extra, z.addresses(cut)...)
		return
	}
	m.Authoritative = true
	for above := name; above != z.name; {
		above = dnsname.Parent(above)
		if put(&m.Answer, above, dns.TypeDNAME) {
			to := strings.TrimSuffix(name, above) + z.rrs[above][dns.TypeDNAME][0].(*dns.DNAME).Target
			m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 300}, Target: to})
			return
		}
	}
	switch {
	case style.flattens && rrtype != dns.TypeCAA && put(&m.Answer, name, dns.TypeCNAME):
	case put(&m.Answer, name, rrtype), put(&m.Answer, name, dns.TypeCNAME):
		if rrtype == dns.TypeNS && !style.minimal {
			m.Extra = append(m.Extra, z.addresses(name)...)
		}
	case has(z, name):
		deny(name)
	default:
		wildcard := wildcardFor(z, name)
		if wildcard == "" {
			m.Rcode = dns.RcodeNameError
			encloser := dnsname.Parent(name)
			for encloser != z.name && !has(z, encloser) {
				encloser = dnsname.Parent(encloser)
			}
			deny(name, dnsname.Wildcard(encloser))
			return
		}
		if !put(&m.Answer, wildcard, rrtype) && !put(&m.Answer, wildcard, dns.TypeCNAME) {
			deny(name, wildcard)
			return
		}
		for i, rr := range m.Answer {
			m.Answer[i] = dns.Copy(rr)
			m.Answer[i].Header().Name = name
		}
		z.cover(m, name, do)
	}
}

// addresses are those of an NS RRset that the zone has, glue included.
func (z *zone) addresses(owner string) (out []dns.RR) {
	for _, ns := range z.rrs[owner][dns.TypeNS] {
		out = append(out, z.rrs[ns.(*dns.NS).Ns][dns.TypeA]...)
	}
	return out
}

// cover adds the NSEC at a name, or the one that covers it, once.
func (z *zone) cover(m *dns.Msg, name string, do bool) {
	if z.ksk == nil || !do {
		return
	}
	owner := ""
	for other := range z.rrs {
		if z.rrs[other][dns.TypeNSEC] == nil {
			continue
		}
		notAfter := func(a, b string) bool { return dnsname.Compare(a, b) <= 0 }
		switch {
		case owner == "":
			owner = other
		case notAfter(other, name) && (!notAfter(owner, name) || notAfter(owner, other)):
			owner = other
		case !notAfter(owner, name) && notAfter(owner, other):
			owner = other
		}
	}
	nsec := z.rrs[owner][dns.TypeNSEC][0]
	if slices.Contains(m.Ns, nsec) {
		return
	}
	m.Ns = append(m.Ns, nsec)
	for _, sig := range z.sigs[owner][dns.TypeNSEC] {
		m.Ns = append(m.Ns, sig)
	}
}
