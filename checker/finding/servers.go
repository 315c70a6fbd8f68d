package finding

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/dnssec"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// maxUDP is what an answer over UDP may have at most on every path (RFC 9715).
const maxUDP = 1232

// serverRules are about name servers and how they answer.
var serverRules = []rule{
	{"server-without-address", Error, "RFC 1034 4.2.2", "give the name server an address, or take it out of the delegation", serverWithoutAddress},
	{"server-unreachable", Error, "BR 3.2.2.9, RFC 2182 3.1", "let every address of every name server answer from everywhere, or take it out of the delegation", perAddress(func(a address) (string, bool) {
		udp, of := a.count(resolve.UDP, silent)
		tcp, _ := a.count(resolve.TCP, silent)
		return "nothing answers there, neither over UDP nor over TCP: a CA's resolver that comes upon it waits, and may give up", of > 0 && udp == of && tcp == of && a.seen[0].Failure != resolve.NoServer
	})},
	{"udp-unreachable", Error, "RFC 1034 4.2", "open UDP port 53 of that address", perAddress(func(a address) (string, bool) {
		udp, of := a.count(resolve.UDP, silent)
		tcp, _ := a.count(resolve.TCP, silent)
		return "it answers over TCP alone", of > 0 && udp == of && tcp < of
	})},
	{"tcp-unreachable", Error, "RFC 7766 5, RFC 9210 3", "open TCP port 53 of that address", perAddress(func(a address) (string, bool) {
		udp, _ := a.count(resolve.UDP, silent)
		tcp, of := a.count(resolve.TCP, silent)
		return "it answers over UDP alone: every answer that does not fit, a long CAA RRset or its signatures, is lost", of > 0 && tcp == of && udp < of
	})},
	{"server-lame", Error, "RFC 1912 2.8, RFC 4697 2.6", "configure the zone on that server, or take it out of the zone's NS records and the delegation", perAddress(func(a address) (string, bool) {
		failed := func(o resolve.Observation) bool {
			return o.Type == dns.TypeSOA && slices.Contains([]resolve.Failure{resolve.Lame, resolve.Refused, resolve.ServFail, resolve.NotImp}, o.Failure)
		}
		n, _ := a.count(resolve.UDP, failed)
		return "it does not serve the zone " + terminal.Bare(a.zone.Name) + ", which has it for a name server", n > 0
	})},
	{"truncated-over-tcp", Error, "RFC 7766 5", "mend the server: over TCP nothing is truncated", truncatedOverTCP},
	{"caa-refused", Error, "RFC 8659 3, RFC 3597 5", "update the server, or what stands in front of it: a type that it does not know has no data, and is no error", caaRefused},
	{"caa-dropped", Error, "RFC 8659 3, RFC 8482 1", "let the firewall or load balancer in front of the server pass questions of every type", caaDropped},
	{"servers-differ", Error, "BR 3.2.2.9, RFC 1034 4.3.5", "find out why the secondary is stale: its transfers, its NOTIFY, its serial", serversDiffer},
	{string(CAABesideCNAME), Error, "RFC 1034 3.6.2, RFC 2181 10.1", "let the name be an alias whatever it is asked for, or have addresses of its own beside its CAA: a resolver that remembers the alias follows it for CAA, too", caaBesideCNAME},
	{"serials-differ", Info, "RFC 1034 4.3.5", "if they stay different, look at the secondary's transfers", serialsDiffer},
	{"case-not-kept", Warning, "RFC 1034 3.1, draft-vixie-dnsext-dns0x20", "update the server: a resolver that mixes case against forgery takes its answers for forged", perAddress(func(a address) (string, bool) {
		n, _ := a.count(resolve.UDP, func(o resolve.Observation) bool { return o.Msg != nil && !o.CaseKept })
		return "it does not keep the case of a question's name", n > 0
	})},
	{"edns-missing", Warning, "RFC 6891 7, RFC 4035 3", "update the server, or what stands in front of it: without EDNS there is no DNSSEC", perAddress(func(a address) (string, bool) {
		n, _ := a.count(resolve.UDP, func(o resolve.Observation) bool { return o.Msg != nil && !o.EDNS })
		return "it does not answer with EDNS", n > 0
	})},
	{"edns-size-dropped", Warning, "RFC 6891 7, RFC 9210 3", "let what stands in front of the server pass questions and answers whatever EDNS size they offer, fragments too", ednsSizeDropped},
	{"edns-size-ignored", Warning, "RFC 6891 6.2.3, RFC 9715 3", "update the server: an answer longer than what was offered is lost, or taken for an attack", ednsSizeIgnored},
	{"answer-large", Warning, "RFC 9715 3", "name fewer issuers or accounts, have fewer keys, or sign with ECDSA rather than RSA", answerLarge},
	{"denial-without-soa", Error, "RFC 2308 3", "mend the server: some resolvers, Let's Encrypt's of 2023 among them, answer SERVFAIL to a denial without SOA", denialWithoutSOA},
	{"delegation-differs", Warning, "RFC 1034 4.2.2", "let the registry and the zone name the same servers", perZone(delegationDiffers)},
	{"single-server", Info, "RFC 2182 5", "have a second name server, in another network", perZone(func(s Survey) (hit, bool) {
		return hitf(s.Zone.Name, "%s has a single name server", terminal.Bare(s.Zone.Name)), len(s.Zone.Servers) == 1 && len(s.by) == 1
	})},
	{"servers-too-many", Warning, "RFC 1034 5.3.3, CVE-2022-2795", "have fewer name servers, with fewer addresses: resolvers look for 20 of a zone, and some for 13, whatever the others would say", perZone(serversTooMany)},
	{"address-reserved", Error, "RFC 6890 2.2", "give the name server an address that the Internet reaches", addressReserved},
	{"negative-ttl-long", Info, "RFC 2308 5, RFC 9077 3", "keep the SOA's minimum at an hour or less", perZone(negativeTTLLong)},
}

func serverWithoutAddress(c *Case) []hit {
	var hits []hit
	for _, s := range c.Surveys {
		for _, a := range s.by {
			if a.seen[0].Failure == resolve.NoServer {
				hits = append(hits, hitf(a.id, "%s has it for a name server, and %s", terminal.Bare(s.Zone.Name), a.seen[0].Error))
			}
		}
	}
	return hits
}

func truncatedOverTCP(c *Case) []hit {
	var m merged
	for s := range c.all() {
		if s.Transport == resolve.TCP && s.Msg != nil && s.Truncated {
			m.add(s.Server, "its answers are truncated over TCP, too: there is no way to get them", fmt.Sprintf("%s %s at %s", s.Name, typeName(s.Type), s.where()))
		}
	}
	return m.hits
}

// caaRefused is a server that answers for the zone, and with an error for CAA.
func caaRefused(c *Case) []hit {
	var m merged
	for _, s := range c.Surveys {
		for _, a := range s.by {
			if !a.speaksFor() {
				continue
			}
			for _, o := range a.seen {
				if o.Type == dns.TypeCAA && o.Msg != nil && o.Failure != "" && o.Failure != resolve.Lame {
					m.add(a.id, fmt.Sprintf("it answers %s to CAA at %s: every CA takes that for a failed look-up", dns.RcodeToString[o.Rcode], terminal.Bare(o.Name)), strings.TrimSuffix(where(o)+", "+o.Words(), ", "))
				}
			}
		}
	}
	return m.hits
}

// speaksFor reports whether the address answered for the zone's SOA.
func (a address) speaksFor() bool {
	return slices.ContainsFunc(a.seen, func(o resolve.Observation) bool { return o.Type == dns.TypeSOA && o.Failure == "" })
}

func caaDropped(c *Case) []hit {
	var m merged
	for _, s := range c.Surveys {
		for _, a := range s.by {
			for _, o := range a.seen {
				answered, _ := a.count(o.Transport, func(o resolve.Observation) bool { return o.Type == dns.TypeSOA && !silent(o) })
				if o.Type == dns.TypeCAA && ignored(o) && answered > 0 {
					m.add(a.id, "it answers other questions, and none for CAA at "+terminal.Bare(o.Name), where(o))
				}
			}
		}
	}
	return m.hits
}

// serversDiffer compares what the addresses say to each CAA question.
func serversDiffer(c *Case) []hit {
	type view struct {
		text string // for people
		what string // to a CA
		by   []string
	}
	views := map[string][]view{}
	var order []string
	for s := range c.answers(dns.TypeCAA) {
		if s.Kind == resolve.Failed || s.Kind == resolve.Referral || s.Truncated {
			continue
		}
		text := resolve.NoData.String() // whether the name exists, too
		what := text
		switch s.Kind {
		case resolve.Data:
			text = content(s.RRset)
			what = text
		case resolve.Alias: // by CNAME or DNAME, and to which target, is the same to a CA if the CAA there is
			text = "alias of " + terminal.Bare(s.Target)
			if at, known := c.Targets[s.Target]; !known || at.Err != nil {
				what = text
			} else if at.Kind == resolve.Data {
				what = content(at.RRset)
			}
		}
		seen := views[s.Name]
		if seen == nil {
			order = append(order, s.Name)
		}
		i := slices.IndexFunc(seen, func(v view) bool { return v.what == what })
		if i < 0 {
			i = len(seen)
			seen = append(seen, view{text: text, what: what})
		}
		if by := s.where(); !slices.Contains(seen[i].by, by) {
			seen[i].by = append(seen[i].by, by)
		}
		views[s.Name] = seen
	}
	var hits []hit
	for _, name := range order {
		if len(views[name]) < 2 {
			continue
		}
		h := hitf(name, "the servers do not agree on CAA at %s: who may issue depends on which one a CA asks", terminal.Bare(name))
		for _, v := range views[name] {
			h = h.seen(v.text + ": " + strings.Join(v.by, ", "))
		}
		hits = append(hits, h)
	}
	return hits
}

// CAABesideCNAME is the code of a name that is an alias for other types and not for CAA, and the reason of a verdict
// that hangs on it.
const CAABesideCNAME issuance.Reason = "caa-beside-cname"

// caaBesideCNAME is such a name, where the alias leads to another Relevant RRset than the name itself.
func caaBesideCNAME(c *Case) []hit {
	var hits []hit
	for _, a := range c.Aliases {
		own, other := c.Climb.Last(), a.Climb.Last()
		if own.Failed() == other.Failed() && content(own.Answer.RRset) == content(other.Answer.RRset) {
			continue
		}
		h := hitf(a.Name, "%s is an alias of %s, but not when it is asked for CAA: who may issue depends on what a CA's resolver was asked before", terminal.Bare(a.Name), terminal.Bare(a.Target))
		hits = append(hits, h.seen("CAA at "+a.Server+": "+view(own), typeName(a.Type)+" at "+a.Server+": alias of "+terminal.Bare(a.Target)+": "+view(other)))
	}
	return hits
}

// view is the Relevant RRset that a climb ended with, for people.
func view(last climb.Step) string {
	switch {
	case last.Failed():
		return "the look-up fails at " + terminal.Bare(last.Name)
	case len(last.RRset) == 0:
		return "no CAA"
	}
	return content(last.Answer.RRset) + " at " + terminal.Bare(last.GovernedBy())
}

func serialsDiffer(c *Case) []hit {
	var hits []hit
	for _, s := range c.Surveys {
		serials := map[uint32][]string{}
		for _, o := range s.Seen {
			if o.Type != dns.TypeSOA || o.Msg == nil {
				continue
			}
			if set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeSOA); ok {
				serial := set.RRs[0].(*dns.SOA).Serial
				serials[serial] = append(serials[serial], where(o))
			}
		}
		if len(serials) < 2 {
			continue
		}
		h := hitf(s.Zone.Name, "the servers of %s have different serials", terminal.Bare(s.Zone.Name))
		for serial, by := range serials {
			h = h.seen(strconv.FormatUint(uint64(serial), 10) + ": " + strings.Join(by, ", "))
		}
		slices.Sort(h.evidence)
		hits = append(hits, h)
	}
	return hits
}

// ednsSizeDropped is an address that answers, and not to who offers another EDNS size.
func ednsSizeDropped(c *Case) []hit {
	var m merged
	for _, s := range c.Surveys {
		for _, a := range byAddress(s.Zone, s.Sizes) {
			usual := slices.IndexFunc(s.by, func(o address) bool { return o.id == a.id })
			if usual < 0 {
				continue
			}
			if answered, _ := s.by[usual].count(resolve.UDP, func(o resolve.Observation) bool { return o.Type == dns.TypeDNSKEY && !silent(o) }); answered == 0 {
				continue // it answers to no size
			}
			for _, o := range a.seen {
				if ignored(o) {
					m.add(a.id, fmt.Sprintf("it does not answer questions that offer an EDNS size of %d octets, and does answer others", o.Offered), typeName(o.Type)+" at "+where(o))
				}
			}
		}
	}
	return m.hits
}

// ednsSizeIgnored is an address whose answer over UDP is longer than the question has room for.
func ednsSizeIgnored(c *Case) []hit {
	var m merged
	for _, s := range c.Surveys {
		for _, a := range byAddress(s.Zone, slices.Concat(s.Seen, s.Sizes)) {
			for _, o := range a.seen {
				if o.Transport == resolve.UDP && o.Msg != nil && o.Size > max(int(o.Offered), dns.MinMsgSize) {
					m.add(a.id, fmt.Sprintf("its answer has %d octets, and %d were offered", o.Size, o.Offered), typeName(o.Type)+" at "+where(o))
				}
			}
		}
	}
	return m.hits
}

func answerLarge(c *Case) []hit {
	var m merged
	for s := range c.all() {
		if (s.Type == dns.TypeCAA || s.Type == dns.TypeDNSKEY) && s.Transport == resolve.TCP && s.Size > maxUDP {
			m.add(s.Name, fmt.Sprintf("the answer for %s has more than %d octets: it never comes over UDP, and depends on TCP", typeName(s.Type), maxUDP), fmt.Sprintf("%d octets from %s", s.Size, s.where()))
		}
	}
	return m.hits
}

func denialWithoutSOA(c *Case) []hit {
	var m merged
	for s := range c.all() {
		if s.Kind != resolve.NoData && s.Kind != resolve.NoName || s.Truncated {
			continue
		}
		if !slices.ContainsFunc(s.Msg.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA }) {
			m.add(s.Name, "a denial for "+terminal.Bare(s.Name)+" comes without the SOA record", typeName(s.Type)+" at "+s.where())
		}
	}
	return m.hits
}

func delegationDiffers(s Survey) (hit, bool) {
	if s.NS.Kind != resolve.Data || s.Zone.Parent == nil {
		return hit{}, false
	}
	var parent, child []string
	for _, server := range s.Zone.Servers {
		parent = append(parent, terminal.Bare(server.Name))
	}
	for _, rr := range s.NS.RRset.RRs {
		child = append(child, terminal.Bare(dns.CanonicalName(rr.(*dns.NS).Ns)))
	}
	slices.Sort(parent)
	slices.Sort(child)
	h := hitf(s.Zone.Name, "%s is delegated to other servers than it names itself", terminal.Bare(s.Zone.Name))
	return h.seen("delegation: "+strings.Join(parent, ", "), "zone: "+strings.Join(child, ", ")), !slices.Equal(parent, child)
}

func addressReserved(c *Case) []hit {
	if c.Private {
		return nil
	}
	var hits []hit
	for _, s := range c.Surveys {
		for _, a := range s.by {
			if o := a.seen[0]; o.Addr.IsValid() && reserved(o.Addr.Addr()) {
				hits = append(hits, hitf(a.id, "nobody on the Internet reaches that address"))
			}
		}
		for _, server := range s.Zone.Servers { // glue that was not asked, such as IPv6 where this machine has none
			for _, addr := range server.Addrs {
				id := addressID(server.Name, addr)
				if reserved(addr) && !slices.ContainsFunc(s.by, func(a address) bool { return a.id == id }) {
					hits = append(hits, hitf(id, "nobody on the Internet reaches that address, which the delegation gives").seen("delegation of "+terminal.Bare(s.Zone.Name)))
				}
			}
		}
	}
	return hits
}

func serversTooMany(s Survey) (hit, bool) {
	h := hitf(s.Zone.Name, "%s has more name servers, or they have more addresses, than a resolver tries", terminal.Bare(s.Zone.Name))
	if n := s.LeftOut.Servers; n > 0 {
		h = h.seen(fmt.Sprintf("%d name servers were not looked for", n))
	}
	if n := s.LeftOut.Addresses; n > 0 {
		h = h.seen(fmt.Sprintf("%d addresses were not asked", n))
	}
	return h, len(h.evidence) > 0
}

// maxNegative, in seconds, is how long a denial of CAA may live after its cause before it is told. A
// CA may rely on an answer for eight hours (BR 3.2.2.8), so a day of denials is what surprises.
const maxNegative = 3 * 3600

func negativeTTLLong(s Survey) (hit, bool) {
	for _, o := range s.Seen {
		if o.Type != dns.TypeSOA || o.Msg == nil {
			continue
		}
		if set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeSOA); ok {
			ttl := min(set.RRs[0].(*dns.SOA).Minttl, set.TTL)
			return hitf(s.Zone.Name, "a denial, of CAA too, is remembered for %d seconds after what was denied is there", ttl), ttl > maxNegative
		}
	}
	return hit{}, false
}
