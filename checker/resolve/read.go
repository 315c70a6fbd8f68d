package resolve

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
)

// Kind is what an answer is.
type Kind uint8

// The kinds of answers.
const (
	Failed   Kind = iota // it cannot be used; Failure is why
	Data                 // the RRset that was asked for
	Alias                // a CNAME, or what a DNAME makes of the name
	NoData               // the name has no such RRset
	NoName               // the name does not exist
	Referral             // another zone's servers are to be asked
)

var kindNames = [...]string{"failed", "data", "alias", "no data", "no such name", "referral"}

// String is the kind for people.
func (k Kind) String() string { return kindNames[k] }

// MarshalText makes it so in JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Reading is what one reply says about one name and type, and its security status.
type Reading struct {
	Kind    Kind
	RRset   dnssec.RRset  // of Data; of Alias, the CNAME or DNAME
	Target  string        // of Alias; of Referral, the zone
	Servers []Server      // of Referral
	Result  dnssec.Result // of all but Failed and Referral
	LeftOut dnssec.Result // of Alias, Bogus: a denial that came along without a signature; zero where none did
	Failure Failure       // of Failed
	// WithoutSOA is set where a zone's server sends a negative answer without SOA (RFC 2308 3). It is not set for what
	// comes through a resolver.
	WithoutSOA bool

	denials []dnssec.RRset // of Alias and of denials: those that came along signed, of whatever zone
}

// Read reads an observation of one of the zone's servers. What it has about names outside the zone is ignored, and so is
// an alias's target: that is looked up by itself.
func (z *Zone) Read(o Observation, name string, rrtype uint16) Reading {
	return z.read(o, name, rrtype, dnssec.Indeterminate)
}

// read reads an observation that aliases of a status led to; Indeterminate for none.
func (z *Zone) read(o Observation, name string, rrtype uint16, alias dnssec.Status) Reading {
	if o.Failure != "" {
		return Reading{Failure: o.Failure}
	}
	if to := z.referral(o.Msg, name); to != "" {
		ns, _ := dnssec.Find(dnssec.RRsets(o.Msg.Ns), to, dns.TypeNS)
		return Reading{Kind: Referral, Target: to, Servers: serversIn(ns, dnssec.RRsets(o.Msg.Extra))}
	}
	if !z.speaks(o) {
		return Reading{Failure: NotAuthoritative}
	}
	answer := dnssec.RRsets(o.Msg.Answer)
	authority := dnssec.RRsets(o.Msg.Ns)
	if set, ok := dnssec.Find(answer, name, rrtype); ok {
		return Reading{Kind: Data, RRset: set, Result: z.verify(set, authority)}
	}
	if set, target := aliasIn(answer, name, z.Name); target != "" {
		reading := Reading{Kind: Alias, RRset: set, Target: target, denials: signedDenials(authority)}
		reading.Result, reading.LeftOut = z.verifyAlias(set, authority)
		return reading
	}
	return z.readDenial(o, authority, name, rrtype, alias)
}

// verify validates an RRset, with the proof that goes with a wildcard's.
func (z *Zone) verify(set dnssec.RRset, authority []dnssec.RRset) dnssec.Result {
	if z.Trust.Status != dnssec.Secure {
		return z.Trust
	}
	now := z.resolver.Now()
	result := dnssec.VerifyRRset(set, z.Keys, now)
	if result.Status != dnssec.Secure || result.Wildcard == "" {
		return result
	}
	return proveWildcard(dnssec.NewDenial(z.Keys, authority, now), set, result)
}

// verifyAlias validates a CNAME or DNAME. The authority section may hold denials of the target, too; a target in another
// zone is asked about separately. Like unbound, it ignores denials without a signature, and takes the answer for bogus if
// a signed one does not validate.
func (z *Zone) verifyAlias(set dnssec.RRset, authority []dnssec.RRset) (result, leftOut dnssec.Result) {
	if z.Trust.Status != dnssec.Secure {
		return z.Trust, leftOut
	}
	now := z.resolver.Now()
	result = dnssec.VerifyRRset(set, z.Keys, now)
	if result.Status != dnssec.Secure {
		return result, leftOut
	}
	denial := dnssec.NewDenial(z.Keys, dnssec.Of(z.Name, authority), now)
	leftOut = denial.Flaw()
	denial = denial.Signed()
	switch flaw := denial.Flaw(); {
	case flaw.Reason != "":
		return flaw, dnssec.Result{}
	case result.Wildcard == "":
		return result, leftOut
	}
	return proveWildcard(denial, set, result), leftOut
}

// proveWildcard is the result over an RRset that a wildcard made, with its proof.
func proveWildcard(denial dnssec.Denial, set dnssec.RRset, result dnssec.Result) dnssec.Result {
	if proof := denial.Wildcard(set.Name, result.Wildcard); proof.Status != dnssec.Secure {
		proof.Wildcard = result.Wildcard
		return proof
	}
	return result
}

// readDenial reads an answer that has neither the RRset nor an alias. An RCODE is only a claim: by
// compact denial a name that does not exist has no data (RFC 9824 3.2), and a resolver believes what is
// proved.
func (z *Zone) readDenial(o Observation, authority []dnssec.RRset, name string, rrtype uint16, alias dnssec.Status) Reading {
	soa := slices.ContainsFunc(authority, func(set dnssec.RRset) bool { return set.Type == dns.TypeSOA && len(set.RRs) > 0 })
	reading := Reading{Kind: NoData, Result: z.Trust, WithoutSOA: !soa && !z.resolver.cfg.Recursive, denials: signedDenials(authority)}
	exists := o.Rcode != dns.RcodeNameError
	if z.Trust.Status == dnssec.Secure {
		denial := dnssec.NewDenial(z.Keys, authority, z.resolver.Now())
		prove := proveClaim
		if alias != dnssec.Indeterminate {
			prove = proveEither
		}
		reading.Result, exists = prove(denial, o.Rcode, name, rrtype)
		if leftOut, there := prove(denial.Signed(), o.Rcode, name, rrtype); mayLeaveOut(reading.Result, leftOut, alias) {
			reading.Result, exists = leftOut, there
		}
	}
	if !exists || reading.Result.Reason == dnssec.NoSuchName {
		reading.Kind = NoName
	}
	return reading
}

// proveClaim asks a denial for what the RCODE claims.
func proveClaim(denial dnssec.Denial, rcode int, name string, rrtype uint16) (result dnssec.Result, exists bool) {
	if rcode == dns.RcodeNameError {
		return denial.NXDomain(name, rrtype)
	}
	return denial.NoData(name, rrtype), true
}

// proveEither asks a denial for either, whatever the RCODE claims: at the end of aliases unbound does so.
func proveEither(denial dnssec.Denial, rcode int, name string, rrtype uint16) (result dnssec.Result, exists bool) {
	result, exists = proveClaim(denial, rcode, name, rrtype)
	if result.Status != dnssec.Bogus {
		return result, exists
	}
	if other := denial.NameError(name); other.Status != dnssec.Bogus {
		return other, false
	}
	if other := denial.NoData(name, rrtype); other.Status != dnssec.Bogus {
		return other, true
	}
	return result, exists
}

// mayLeaveOut reports whether records without a signature do not matter. At the end of aliases unbound leaves them
// out, and misses them only where all the rest is Secure: under opt-out it may be Insecure.
func mayLeaveOut(with, without dnssec.Result, alias dnssec.Status) bool {
	return alias != dnssec.Indeterminate && with.Reason == dnssec.SignatureMissing &&
		(without.Status == dnssec.Insecure || without.Status == dnssec.Secure && alias == dnssec.Insecure)
}

// aliasIn finds the alias that an answer makes of a name: a CNAME there or, above it and in the zone, a
// DNAME, from which a CNAME that came along was only made (RFC 6672 3.1).
func aliasIn(answer []dnssec.RRset, name, zone string) (dnssec.RRset, string) {
	for _, set := range answer {
		if set.Type != dns.TypeDNAME || len(set.RRs) != 1 || !dns.IsSubDomain(zone, set.Name) {
			continue
		}
		if target, err := dnsname.Substitute(name, set.Name, dns.CanonicalName(set.RRs[0].(*dns.DNAME).Target)); err == nil {
			return set, target
		}
	}
	if set, ok := dnssec.Find(answer, name, dns.TypeCNAME); ok {
		return set, dns.CanonicalName(set.RRs[0].(*dns.CNAME).Target)
	}
	return dnssec.RRset{}, ""
}
