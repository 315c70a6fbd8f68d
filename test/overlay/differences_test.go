package overlay

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/test/wire"
)

// difference is something in which we, or those who ask, differ from BIND by design. Where it applies it
// takes that out of the comparison, and only that.
type difference struct {
	why   string
	over  string // the backend that it is of, where that has a test of its own
	apply func(c *comparison) (applied bool)
	seen  atomic.Int64
}

var differences = []difference{
	{why: "where existence is uncertain, a name that BIND denies has the policy's CAA and none of the other types", apply: func(c *comparison) bool {
		denied := c.truth.rcode == dns.RcodeNameError && c.ours.rcode == dns.RcodeSuccess
		ours := slices.DeleteFunc(slices.Clone(c.ours.records), isCAA)
		return c.z.behind.uncertain && denied && slices.Equal(ours, c.truth.records) && c.excuse()
	}},
	{why: "RFC 9824 3.1: a name that does not exist is NOERROR with NXNAME, unless CO is set", apply: func(c *comparison) bool {
		if c.ours.rcode != dns.RcodeSuccess || c.truth.rcode != dns.RcodeNameError || c.ours.kind != c.truth.kind {
			return false
		}
		c.ours.rcode = c.truth.rcode
		return true
	}},
	{why: "an alias into a zone cut: we end with the alias, BIND adds the referral", apply: func(c *comparison) bool {
		if c.ours.kind != wire.Elsewhere || c.truth.kind != wire.Referral {
			return false
		}
		c.ours.kind, c.truth.records = c.truth.kind, c.ours.records
		return true
	}},
	{why: "an alias into another zone held here: we follow it, BIND does not", apply: func(c *comparison) bool {
		if c.truth.kind != wire.Elsewhere || c.ours.kind == wire.Failure {
			return false
		}
		c.ours.kind, c.ours.rcode = c.truth.kind, c.truth.rcode
		return true
	}},
	{why: "a loop of aliases: we, or the next plugin, end where it closes; BIND says SERVFAIL", apply: func(c *comparison) bool {
		if c.via != directly || c.truth.rcode != dns.RcodeServerFailure || len(c.truth.records) == 0 {
			return false
		}
		c.ours, c.truth = view{}, view{}
		return true
	}},
	{why: "a resolver that fails for both shows what it likes", apply: func(c *comparison) bool {
		if c.via == directly || c.ours.rcode != dns.RcodeServerFailure || c.truth.rcode != dns.RcodeServerFailure {
			return false
		}
		c.ours.records = c.truth.records
		return true
	}},
	{why: "knot-resolver forwards, and asks the parent of a cut for nothing", apply: func(c *comparison) bool {
		return c.knotResolver() && (c.z.cutAbove(c.q.Name) || c.leadsIntoCut()) && c.excuse()
	}},
	{why: "a resolver gives up on loops where it likes, or asks for DS at names above and fails for a loop there", apply: func(c *comparison) bool {
		failed := c.ours.rcode == dns.RcodeServerFailure || c.truth.rcode == dns.RcodeServerFailure
		return c.via != directly && failed && strings.Contains(strings.ToLower(c.q.Name), "loop") && c.excuse()
	}},
	{why: "NSEC3PARAM is BIND's: we have no NSEC3", apply: func(c *comparison) bool {
		return c.q.Qtype == dns.TypeNSEC3PARAM && c.excuse()
	}},
	{why: "unbound denies what lies below an alias to nothing, when BIND says NXDOMAIN for its target", apply: func(c *comparison) bool {
		return c.unbound() && c.truth.rcode == dns.RcodeNameError && c.belowAlias() && c.excuse()
	}},
	{why: "unbound takes DNAME, or the CNAME made from it, on a way to nothing for the answer to a question for that type, unless the code is NXDOMAIN", apply: func(c *comparison) bool {
		failed := c.ours.rcode == dns.RcodeServerFailure || c.truth.rcode == dns.RcodeServerFailure
		return c.unbound() && (c.q.Qtype == dns.TypeDNAME || c.q.Qtype == dns.TypeCNAME && c.belowDNAME()) && failed && c.excuse()
	}},
	{why: "a resolver fails on BIND's answer, such as a wildcard's expansion to a name that begins with an asterisk, and finds ours authentic", apply: func(c *comparison) bool {
		return c.via != directly && c.truth.rcode == dns.RcodeServerFailure && c.ours.secure && c.excuse()
	}},
	{why: "CoreDNS's etcd takes an asterisk in a question for any name", over: etcdName, apply: func(c *comparison) bool {
		return c.z.behind.name == etcdName && strings.Contains(c.q.Name, "*.") && c.excuse()
	}},
	{why: "CoreDNS's etcd makes SOA and NS by itself, and finds TXT at the apex that lies below it", over: etcdName, apply: func(c *comparison) bool {
		made := c.q.Qtype == dns.TypeSOA || c.q.Qtype == dns.TypeNS || c.q.Qtype == dns.TypeTXT
		return c.z.behind.name == etcdName && made && dns.CanonicalName(c.q.Name) == c.z.apex && c.excuse()
	}},
	{why: "CoreDNS's file, whose answers an unsigned zone has but for CAA, leaves SOA out behind an alias", apply: func(c *comparison) bool {
		return c.z.behind.unsigned && c.q.Qtype != dns.TypeCAA && c.ours.kind == wire.Elsewhere && c.truth.kind == wire.NoData && c.excuse()
	}},
	{why: "CoreDNS's file lets a wildcard match an empty non-terminal (RFC 4592 2.2.2)", apply: func(c *comparison) bool {
		name := dns.CanonicalName(c.q.Name)
		return c.z.behind.files && c.z.existing()[name] && c.z.types[name] == nil && c.z.types["*."+dnsname.Parent(name)] != nil && c.excuse()
	}},
}

func isCAA(record string) bool { return strings.Fields(record)[3] == "CAA" }

const directly = "directly"

func (c *comparison) knotResolver() bool { return strings.HasPrefix(c.via, "knot-resolver") }

// belowAlias reports whether the name asked lies below an alias.
func (c *comparison) belowAlias() bool {
	for name := dns.CanonicalName(c.q.Name); name != c.z.apex; {
		name = dnsname.Parent(name)
		if slices.Contains(c.z.types[name], dns.TypeCNAME) || slices.Contains(c.z.types["*."+dnsname.Parent(name)], dns.TypeCNAME) {
			return name != c.z.apex
		}
	}
	return false
}

func (c *comparison) belowDNAME() bool {
	for name := dns.CanonicalName(c.q.Name); name != c.z.apex; {
		if name = dnsname.Parent(name); slices.Contains(c.z.types[name], dns.TypeDNAME) {
			return true
		}
	}
	return false
}

func (c *comparison) unbound() bool { return strings.HasPrefix(c.via, "unbound") }

// leadsIntoCut reports whether an alias of the true answer does.
func (c *comparison) leadsIntoCut() bool {
	return slices.ContainsFunc(c.truth.records, func(record string) bool { return c.z.cutAbove(record[strings.LastIndex(record, " ")+1:]) })
}

// unaskable are questions that resolvers are not asked, for they never answer.
func unaskable(z *zone, q dns.Question) bool {
	// A resolver asks the parent for DS at an apex that an alias leads to; these zones have none.
	return q.Qtype == dns.TypeDS && slices.ContainsFunc(z.rrs, func(rr dns.RR) bool {
		cname, ok := rr.(*dns.CNAME)
		return ok && dns.CountLabel(cname.Target) == dns.CountLabel(z.apex) && strings.EqualFold(cname.Hdr.Name, q.Name)
	})
}

// excuse takes the whole comparison back, and reports whether there was something to excuse.
func (c *comparison) excuse() bool {
	if c.same() {
		return false
	}
	c.ours = c.truth
	return true
}

func (c *comparison) same() bool {
	return c.ours.kind == c.truth.kind && c.ours.rcode == c.truth.rcode && c.ours.secure == c.truth.secure && slices.Equal(c.ours.records, c.truth.records)
}

// cutAbove reports whether a name is a cut or lies below one.
func (z *zone) cutAbove(name string) bool {
	_, cut := z.cuts[dns.CanonicalName(name)]
	for above := range z.cuts {
		cut = cut || dns.IsSubDomain(above, name)
	}
	return cut
}
