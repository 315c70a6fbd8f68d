package finding

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// maxUDP is the size in octets up to which a response over UDP passes every path (RFC 9715).
const maxUDP = 1232

// serverRules are about name servers and how they answer.
var serverRules = []rule{
	{
		catalog: catalog.Entry{
			Code: "server-without-address", Severity: catalog.Error, Section: "RFC 1034 4.2.2",
			Text: "a name server of the zone has no address",
			Fix:  "add an address record for the name server, or remove it from the zone's NS RRset and from the delegation",
		},
		about: aboutServers, find: serverWithoutAddress,
	},
	{
		catalog: catalog.Entry{
			Code: "server-unreachable", Severity: catalog.Error, Section: "BR 3.2.2.9, RFC 2182 3.1",
			Text: "a name server answers neither over UDP nor over TCP",
			Fix:  "start the server and open UDP and TCP port 53 of that address to everybody, or remove it from the zone's NS RRset and from the delegation",
		},
		about: aboutServers, anyZone: true, say: group.ofServers,
		find: perAddress(func(a address) (string, bool) {
			udp, of := a.count(resolve.UDP, silent)
			tcp, _ := a.count(resolve.TCP, silent)
			return "no reply over UDP or TCP: a CA's resolver that asks it times out, and may give up", of > 0 && udp == of && tcp == of && a.seen[0].Failure != resolve.NoServer
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "udp-unreachable", Severity: catalog.Error, Section: "RFC 1034 4.2",
			Text: "a name server answers over TCP only",
			Fix:  "open UDP port 53 of that address",
		},
		about: aboutServers, anyZone: true, say: group.ofServers,
		find: perAddress(func(a address) (string, bool) {
			udp, of := a.count(resolve.UDP, silent)
			tcp, _ := a.count(resolve.TCP, silent)
			return "no reply over UDP; it answers over TCP", of > 0 && udp == of && tcp < of
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "tcp-unreachable", Severity: catalog.Error, Section: "RFC 7766 5, RFC 9210 3",
			Text: "a name server answers over UDP only, so that every truncated answer is lost",
			Fix:  "open TCP port 53 of that address",
		},
		about: aboutServers, anyZone: true, say: group.ofServers,
		find: perAddress(func(a address) (string, bool) {
			udp, _ := a.count(resolve.UDP, silent)
			tcp, of := a.count(resolve.TCP, silent)
			return "no reply over TCP; it answers over UDP, so that answers too large for UDP are lost, such as long CAA RRsets with signatures", of > 0 && tcp == of && udp < of
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "server-lame", Severity: catalog.Error, Section: "RFC 1912 2.8, RFC 4697 2.6",
			Text: "lame delegation: the server is in the zone's NS RRset or delegation, and does not serve the zone",
			Fix:  "configure the zone on that server, or remove it from the zone's NS RRset and from the delegation",
		},
		about: aboutServers, find: perAddress(notServing("lame delegation: it is a name server of %s and does not serve it (it answers %s)", func(o resolve.Observation) bool {
			return slices.Contains([]resolve.Failure{resolve.Refused, resolve.NotImp}, o.Failure) || o.Failure == resolve.NotAuthoritative && len(o.Msg.Answer) == 0
		})),
	},
	{
		catalog: catalog.Entry{
			Code: "answer-not-authoritative", Severity: catalog.Error, Section: "RFC 1034 4.3.1, RFC 2181 5.4.1",
			Text: "a name server answers for the zone without the AA flag, which resolvers do not accept",
			Fix:  "serve the zone itself on that server, as a primary or secondary; it answers like a resolver or forwarder now",
		},
		about: aboutServers, find: perAddress(notServing("answers for %s without the AA flag (%s): resolvers do not accept that from a name server", func(o resolve.Observation) bool {
			return o.Failure == resolve.NotAuthoritative && len(o.Msg.Answer) > 0
		})),
	},
	{
		catalog: catalog.Entry{
			Code: "server-not-ready", Severity: catalog.Error, Section: "RFC 8914 4.15",
			Text: "a name server answers SERVFAIL and says that it is not ready yet (EDE 14)",
			Fix:  "wait until the server has loaded its zones, and check again; if it stays, its log says what it waits for",
		},
		about: aboutServers, find: perAddress(notServing("not ready: it answers for %s with %s and EDE 14 (Not Ready)", func(o resolve.Observation) bool {
			return o.Failure == resolve.ServFail && notReady(o)
		})),
	},
	{
		catalog: catalog.Entry{
			Code: "server-fails", Severity: catalog.Error, Section: "RFC 1035 4.1.1, RFC 1034 4.3.5",
			Text: "a name server answers SERVFAIL for the zone",
			Fix:  "load the zone on that server: a secondary answers so when its copy has expired and the transfer fails, a primary when the zone file has an error; its log says which",
		},
		about: aboutServers, find: perAddress(notServing("answers for %s with %s: it is configured for the zone and has no valid copy of it", func(o resolve.Observation) bool {
			return o.Failure == resolve.ServFail && !notReady(o)
		})),
	},
	{
		catalog: catalog.Entry{
			Code: "truncated-over-tcp", Severity: catalog.Error, Section: "RFC 7766 5",
			Text: "a name server truncates answers over TCP, so that no one can get them",
			Fix:  "update or reconfigure the server: no answer is truncated over TCP",
		},
		about: aboutServers, find: truncatedOverTCP,
	},
	{
		catalog: catalog.Entry{
			Code: "caa-refused", Severity: catalog.Error, Section: "RFC 8659 3, RFC 3597 5",
			Text: "a name server answers for the zone, and with an error for CAA, so that the lookup fails at every CA",
			Fix:  "update the server, or the load balancer or firewall in front of it: the answer for an unknown type is NOERROR without data, not an error",
		},
		about: aboutServers, find: caaRefused,
	},
	{
		catalog: catalog.Entry{
			Code: "caa-dropped", Severity: catalog.Error, Section: "RFC 8659 3, RFC 8482 1",
			Text: "a name server answers other queries, and drops those for CAA",
			Fix:  "configure the firewall or load balancer in front of the server to pass queries of every type",
		},
		about: aboutServers, find: caaDropped,
	},
	{
		catalog: catalog.Entry{
			Code: "caa-nxdomain", Severity: catalog.Error, Section: "RFC 8020 2, RFC 4074 4.2",
			Text: "a name server answers NXDOMAIN for CAA at a name that has other types: a resolver that caches it denies the whole name",
			Fix:  "update the server, or the load balancer in front of it: for a name that exists and has no CAA the answer is NOERROR without data",
		},
		about: aboutServers, find: caaNXDOMAIN, symptoms: []string{"denial-bogus"},
	},
	{
		catalog: catalog.Entry{
			Code: "servers-differ", Severity: catalog.Error, Section: "BR 3.2.2.9, RFC 1034 4.3.5",
			Text: "the zone's name servers give different CAA RRsets: which CA may issue depends on the server that is asked",
			Fix:  "publish the same data on every name server of the zone",
		},
		about: aboutItems, find: serversDiffer,
	},
	{
		catalog: catalog.Entry{
			Code: string(CAABesideCNAME), Severity: catalog.Error, Section: "RFC 1034 3.6.2, RFC 2181 10.1",
			Text: "a name is an alias for other types and not for CAA: a resolver that has the alias in its cache follows it for CAA, too",
			Fix:  "make the name an alias for every type, or give it addresses of its own beside its CAA RRset",
		},
		about: aboutItems, find: caaBesideCNAME,
	},
	{
		catalog: catalog.Entry{
			Code: "serials-differ", Severity: catalog.Info, Section: "RFC 1034 4.3.5",
			Text: "the zone's name servers have different SOA serials",
			Fix:  "if they still differ after the SOA's refresh time, check the secondary's transfers",
		},
		find: serialsDiffer,
	},
	{
		catalog: catalog.Entry{
			Code: "case-not-kept", Severity: catalog.Warning, Section: "RFC 1034 3.1, draft-vixie-dnsext-dns0x20",
			Text: "a name server does not keep the case of the question's name",
			Fix:  "update the server: a resolver that mixes case against forgery discards its answers",
		},
		about: aboutServers, anyZone: true, say: group.ofServers,
		find: perAddress(func(a address) (string, bool) {
			n, _ := a.count(resolve.UDP, func(o resolve.Observation) bool { return o.Msg != nil && !o.CaseKept })
			return "does not keep the case of the question's name", n > 0
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "edns-missing", Severity: catalog.Warning, Section: "RFC 6891 7, RFC 4035 3",
			Text: "a name server does not support EDNS",
			Fix:  "update the server, or the firewall in front of it: without EDNS there is no DNSSEC",
		},
		about: aboutServers, anyZone: true, say: group.ofServers,
		find: perAddress(func(a address) (string, bool) {
			n, _ := a.count(resolve.UDP, func(o resolve.Observation) bool { return o.Msg != nil && !o.EDNS })
			return "answers without EDNS", n > 0
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "edns-size-dropped", Severity: catalog.Warning, Section: "RFC 6891 7, RFC 9210 3",
			Text: "a name server answers, except for queries that offer another EDNS size",
			Fix:  "configure the firewall in front of the server to pass queries whatever EDNS size they offer, and fragments",
		},
		about: aboutServers, anyZone: true, say: group.ofServers, find: ednsSizeDropped,
	},
	{
		catalog: catalog.Entry{
			Code: "edns-size-ignored", Severity: catalog.Warning, Section: "RFC 6891 6.2.3, RFC 9715 3",
			Text: "a name server sends answers over UDP that are larger than the EDNS size that was offered",
			Fix:  "update the server: an answer larger than the offered size is lost, or discarded as an attack",
		},
		about: aboutServers, find: ednsSizeIgnored,
	},
	{
		catalog: catalog.Entry{
			Code: "answer-large", Severity: catalog.Warning, Section: "RFC 9715 3",
			Text: "an answer does not fit UDP, and depends on TCP",
			Fix:  "name fewer issuers or accounts, publish fewer keys, or sign with ECDSA instead of RSA",
		},
		about: aboutItems, find: answerLarge,
	},
	{
		catalog: catalog.Entry{
			Code: "denial-without-soa", Severity: catalog.Error, Section: "RFC 2308 3",
			Text: "a negative answer has no SOA record, to which some resolvers answer SERVFAIL, such as unbound 1.18",
			Fix:  "update or reconfigure the server: a negative answer has the zone's SOA record in its authority section",
		},
		about: aboutServers, find: denialWithoutSOA,
	},
	{
		catalog: catalog.Entry{
			Code: "delegation-differs", Severity: catalog.Warning, Section: "RFC 1034 4.2.2",
			Text: "the delegation and the zone's own NS RRset name different servers",
			Fix:  "publish the same NS RRset at the registry and in the zone",
		},
		find: delegationDiffers,
	},
	{
		catalog: catalog.Entry{
			Code: "single-server", Severity: catalog.Info, Section: "RFC 2182 5",
			Text: "the zone has a single name server",
			Fix:  "add a second name server, in another network",
		},
		find: perZone(func(s Survey) (sign, bool) {
			return signf(s.Zone.Name, "%s has a single name server", dnsname.Bare(s.Zone.Name)), len(s.Zone.Servers) == 1 && len(s.by) == 1
		}),
	},
	{
		catalog: catalog.Entry{
			Code: "servers-too-many", Severity: catalog.Warning, Section: "RFC 1034 5.3.3, CVE-2022-2795",
			Text: "the zone has more name servers or addresses than resolvers try",
			Fix:  "have at most 13 name servers, with few addresses each: some resolvers try no more, and none tries more than 20",
		},
		find: perZone(serversTooMany),
	},
	{
		catalog: catalog.Entry{
			Code: "address-reserved", Severity: catalog.Error, Section: "RFC 6890 2.2",
			Text: "a name server has an address that the Internet does not reach",
			Fix:  "replace the address by one that the Internet reaches, in the zone and in the delegation",
		},
		about: aboutServers, anyZone: true, say: group.ofServers, find: addressReserved,
	},
	{
		catalog: catalog.Entry{
			Code: "negative-ttl-long", Severity: catalog.Info, Section: "RFC 2308 5, RFC 9077 3",
			Text: "negative answers, those for CAA included, stay in caches for more than three hours",
			Fix:  "set the SOA's minimum to an hour or less",
		},
		find: perZone(negativeTTLLong),
	},
}

// ofServers is the text of a finding about servers for which the zones do not matter.
func (g group) ofServers() string { return g.where() + g.cause }

// notServing makes a condition of what an address answers for its zone's SOA. The format takes the zone and the RCODE.
func notServing(format string, is func(resolve.Observation) bool) func(address) (string, bool) {
	return func(a address) (string, bool) {
		i := slices.IndexFunc(a.seen, func(o resolve.Observation) bool {
			return o.Transport == resolve.UDP && o.Type == dns.TypeSOA && o.Msg != nil && is(o)
		})
		if i < 0 {
			return "", false
		}
		return fmt.Sprintf(format, dnsname.Bare(a.zone.Name), dns.RcodeToString[a.seen[i].Rcode]), true
	}
}

func notReady(o resolve.Observation) bool {
	return slices.ContainsFunc(o.Errors, func(e resolve.EDE) bool { return e.Code == dns.ExtendedErrorCodeNotReady })
}

func serverWithoutAddress(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		for _, a := range s.by {
			if a.seen[0].Failure == resolve.NoServer {
				signs = append(signs, signf(s.Zone.Name, "is a name server of %s and has no address", dnsname.Bare(s.Zone.Name)).at(a.id).seen(a.seen[0].Error))
			}
		}
	}
	return signs
}

func truncatedOverTCP(c *Case) []sign {
	var signs []sign
	for r := range c.all() {
		if r.Transport == resolve.TCP && r.Msg != nil && r.Truncated {
			signs = append(signs, signf(r.zone.Name, "answers are truncated over TCP").at(r.server()).of(r.rrset()).seen(r.what()))
		}
	}
	return signs
}

// caaRefused finds servers that answer for the zone, and with an error for CAA.
func caaRefused(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		for _, a := range s.by {
			if !a.serves() {
				continue
			}
			for _, o := range a.seen {
				if o.Type == dns.TypeCAA && o.Msg != nil && o.Failure != "" && o.Failure != resolve.NotAuthoritative {
					signs = append(signs, signf(s.Zone.Name, "answers %s to queries for CAA", dns.RcodeToString[o.Rcode]).at(a.id).of(o.Name).seen(strings.TrimSuffix(typeName(o.Type)+" at "+where(o)+", "+o.Words(), ", ")))
				}
			}
		}
	}
	return signs
}

// caaDropped finds addresses that reply to queries for other types, and to none for CAA: one that replies for some names is
// slow, or loses packets, and drops no type.
func caaDropped(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		for _, a := range s.by {
			for _, o := range a.seen {
				replied := func(qtype uint16) bool {
					n, _ := a.count(o.Transport, func(o resolve.Observation) bool { return o.Type == qtype && !silent(o) })
					return n > 0
				}
				if o.Type == dns.TypeCAA && ignored(o) && replied(dns.TypeSOA) && !replied(dns.TypeCAA) {
					signs = append(signs, signf(s.Zone.Name, "answers other queries, and does not reply to those for CAA").at(a.id).of(o.Name).seen(where(o)))
				}
			}
		}
	}
	return signs
}

// caaNXDOMAIN finds names that a server denies altogether when it is asked for CAA, and that it has for other types.
func caaNXDOMAIN(c *Case) []sign {
	type at struct{ server, name string }
	var signs []sign
	for _, s := range c.Surveys {
		exists := map[at]string{}
		for r := range s.replies() {
			if r.Kind == resolve.Data || r.Kind == resolve.NoData && r.Rcode != dns.RcodeNameError || r.Kind == resolve.Alias {
				exists[at{r.server(), r.Name}] = r.what()
			}
		}
		for r := range s.replies() {
			other := exists[at{r.server(), r.Name}]
			proved := r.Kind == resolve.NoName && r.Result.Status == dnssec.Secure // then what it has for other types is wrong
			denies := r.Kind == resolve.NoName || r.Kind == resolve.NoData         // by its RCODE, whatever it proves
			if r.Type == dns.TypeCAA && r.Msg != nil && r.Rcode == dns.RcodeNameError && denies && !proved && other != "" {
				signs = append(signs, signf(s.Zone.Name, "answers NXDOMAIN to queries for CAA, and has other types").at(r.server()).of(r.Name).seen("NXDOMAIN: "+r.what(), "the name exists: "+other))
			}
		}
	}
	return signs
}

// serversDiffer compares the replies of all addresses to each query for CAA. A reply that does not validate counts for
// nothing: no resolver would take it.
func serversDiffer(c *Case) []sign {
	type view struct {
		text string   // for people
		what string   // to a CA
		by   []string // servers
		at   []string // with the transport
	}
	type views struct {
		zone string
		all  []view
	}
	found := map[string]*views{}
	var order []string
	for r := range c.answers(dns.TypeCAA) {
		if r.Kind == resolve.Failed || r.Kind == resolve.Referral || r.Truncated || r.Result.Status == dnssec.Bogus && r.zone.Trust.Status == dnssec.Secure {
			continue
		}
		text := resolve.NoData.String() // whether the name exists, too
		what := text
		switch r.Kind {
		case resolve.Data:
			text = content(r.RRset)
			what = text
		case resolve.Alias: // by CNAME or DNAME, and to which target, is the same to a CA if the CAA there is
			text = "alias of " + dnsname.Bare(r.Target)
			if at, known := c.Targets[r.Target]; !known || at.Err != nil {
				what = text
			} else if at.Kind == resolve.Data {
				what = content(at.RRset)
			}
		}
		if found[r.Name] == nil {
			found[r.Name], order = &views{zone: r.zone.Name}, append(order, r.Name)
		}
		seen := found[r.Name]
		i := slices.IndexFunc(seen.all, func(v view) bool { return v.what == what })
		if i < 0 {
			i = len(seen.all)
			seen.all = append(seen.all, view{text: text, what: what})
		}
		if by := r.server(); !slices.Contains(seen.all[i].by, by) {
			seen.all[i].by = append(seen.all[i].by, by)
		}
		seen.all[i].at = append(seen.all[i].at, r.where())
	}
	var signs []sign
	for _, name := range order {
		seen := found[name]
		if len(seen.all) < 2 {
			continue
		}
		slices.SortStableFunc(seen.all, func(a, b view) int { return len(b.by) - len(a.by) }) // the few against the many
		var sides, evidence []string
		for _, v := range seen.all {
			slices.Sort(v.by)
		}
		alone := slices.Equal(seen.all[0].by, seen.all[1].by) // one server by itself
		for _, v := range seen.all {
			sides = append(sides, some(v.by))
			by := v.by
			if alone {
				by = v.at
			}
			evidence = append(evidence, dnsname.Bare(name)+": "+v.text+" at "+strings.Join(by, ", "))
		}
		slices.Sort(sides[1:])
		s := signf(seen.zone, "%s and %s give different CAA RRsets", strings.Join(sides[:len(sides)-1], ", "), sides[len(sides)-1])
		if len(slices.Compact(sides)) == 1 {
			s = signf(seen.zone, "%s gives different CAA RRsets from query to query", sides[0])
		}
		if behind := c.behind(seen.zone); behind != "" {
			s.cause += "; " + behind
			s = s.fixed("transfer the zone to the server that is behind, and check its log, the NOTIFY to it and the addresses that it may transfer from")
		}
		signs = append(signs, s.of(name).seen(evidence...))
	}
	return signs
}

// CAABesideCNAME is the code of a name that is an alias for other types and not for CAA, and the reason of a verdict
// that depends on it.
const CAABesideCNAME issuance.Reason = "caa-beside-cname"

// caaBesideCNAME finds such names, where the alias leads to another Relevant RRset than the name itself.
func caaBesideCNAME(c *Case) []sign {
	var signs []sign
	for _, a := range c.Aliases {
		own, other := c.Climb.Last(), a.Climb.Last()
		if own.Failed() == other.Failed() && content(own.Answer.RRset) == content(other.Answer.RRset) {
			continue
		}
		s := signf(a.Zone, "is an alias of %s for other types and not for CAA: which CA may issue depends on what a resolver has in its cache", dnsname.Bare(a.Target))
		signs = append(signs, s.at(a.Server).of(a.Name).seen("CAA at "+a.Server+": "+view(own), typeName(a.Type)+" at "+a.Server+": alias of "+dnsname.Bare(a.Target)+": "+view(other)))
	}
	return signs
}

// view is the Relevant RRset that a climb ended with, for people.
func view(last climb.Step) string {
	switch {
	case last.Failed():
		return "the lookup fails at " + dnsname.Bare(last.Name)
	case len(last.RRset) == 0:
		return "no CAA"
	}
	return content(last.Answer.RRset) + " at " + dnsname.Bare(last.GovernedBy())
}

// serials returns the SOA serials of a zone, with the servers that have them.
func (s Survey) serials() map[uint32][]string {
	out := map[uint32][]string{}
	for _, o := range s.Seen {
		if o.Type != dns.TypeSOA || o.Msg == nil {
			continue
		}
		if set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeSOA); ok {
			serial := set.RRs[0].(*dns.SOA).Serial
			if by := serverOf(o); !slices.Contains(out[serial], by) {
				out[serial] = append(out[serial], by)
			}
		}
	}
	return out
}

// newer reports whether serial a is newer than b (RFC 1982 3.2).
func newer(a, b uint32) bool { return a != b && a-b < 1<<31 }

// behind says which servers of a zone have an older serial than the others, "" for none.
func (c *Case) behind(zone string) string {
	for _, s := range c.Surveys {
		serials := s.serials()
		if s.Zone.Name != zone || len(serials) < 2 {
			continue
		}
		var newest uint32
		first := true
		for serial := range serials {
			if first || newer(serial, newest) {
				newest, first = serial, false
			}
		}
		var out []string
		for serial, by := range serials {
			if serial != newest {
				out = append(out, fmt.Sprintf("%s is behind, at serial %d instead of %d", some(by), serial, newest))
			}
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	return ""
}

func serialsDiffer(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		serials := s.serials()
		if len(serials) < 2 {
			continue
		}
		var evidence []string
		for serial, by := range serials {
			evidence = append(evidence, strconv.FormatUint(uint64(serial), 10)+": "+strings.Join(by, ", "))
		}
		slices.Sort(evidence)
		signs = append(signs, signf(s.Zone.Name, "the name servers of %s have different serials: %s", dnsname.Bare(s.Zone.Name), c.behind(s.Zone.Name)).seen(evidence...))
	}
	return signs
}

// ednsSizeDropped finds addresses that answer, and not where another EDNS size is offered.
func ednsSizeDropped(c *Case) []sign {
	var signs []sign
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
					signs = append(signs, signf(s.Zone.Name, "does not reply to queries that offer an EDNS size of %d octets, and replies to others", o.Offered).at(a.id).seen(typeName(o.Type)+" at "+where(o)))
				}
			}
		}
	}
	return signs
}

// ednsSizeIgnored finds addresses whose answers over UDP are larger than the query has room for.
func ednsSizeIgnored(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		for _, a := range byAddress(s.Zone, slices.Concat(s.Seen, s.Sizes)) {
			for _, o := range a.seen {
				if o.Transport == resolve.UDP && o.Msg != nil && o.Size > max(int(o.Offered), dns.MinMsgSize) {
					signs = append(signs, signf(s.Zone.Name, "sends more over UDP than the EDNS size that was offered").at(a.id).seen(fmt.Sprintf("%d octets, %d were offered: %s at %s", o.Size, o.Offered, typeName(o.Type), where(o))))
				}
			}
		}
	}
	return signs
}

func answerLarge(c *Case) []sign {
	var signs []sign
	for r := range c.all() {
		if (r.Type != dns.TypeCAA && r.Type != dns.TypeDNSKEY) || r.Transport != resolve.TCP || r.Size <= maxUDP || r.Msg == nil {
			continue
		}
		if size := requiredSize(r.Msg); size > maxUDP {
			signs = append(signs, signf(r.zone.Name, "the answer for %s has more than %d octets: it does not fit UDP, and depends on TCP", typeName(r.Type), maxUDP).of(r.Name).seen(fmt.Sprintf("%d octets: %s", size, r.what())))
		}
	}
	return signs
}

// requiredSize returns how many octets of an answer a server must send over UDP, or else set TC: it may leave out the NS
// RRset beside an answer, and addresses (RFC 2181 9).
func requiredSize(m *dns.Msg) int {
	least := dns.Msg{MsgHdr: m.MsgHdr, Compress: true, Question: m.Question, Answer: m.Answer}
	for _, rr := range m.Ns {
		sig, isSig := rr.(*dns.RRSIG)
		if len(m.Answer) == 0 || rr.Header().Rrtype != dns.TypeNS && !(isSig && sig.TypeCovered == dns.TypeNS) {
			least.Ns = append(least.Ns, rr)
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		least.Extra = []dns.RR{opt}
	}
	return least.Len()
}

func denialWithoutSOA(c *Case) []sign {
	var signs []sign
	for r := range c.all() {
		if r.Kind != resolve.NoData && r.Kind != resolve.NoName || r.Truncated {
			continue
		}
		if !slices.ContainsFunc(r.Msg.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA }) {
			signs = append(signs, signf(r.zone.Name, "negative answers have no SOA record").at(r.server()).of(r.Name).seen(r.what()))
		}
	}
	return signs
}

// delegationDiffers compares the delegation with the zone's own NS RRset. Servers that one of them has by itself, and that
// do not serve the zone, are findings of their own.
func delegationDiffers(c *Case) []sign {
	var signs []sign
	for _, s := range c.Surveys {
		if s.NS.Kind != resolve.Data || s.Zone.Parent == nil {
			continue
		}
		var parent, child []string
		for _, server := range s.Zone.Servers {
			parent = append(parent, dnsname.Bare(server.Name))
		}
		for _, rr := range s.NS.RRset.RRs {
			child = append(child, dnsname.Bare(dns.CanonicalName(rr.(*dns.NS).Ns)))
		}
		slices.Sort(parent)
		slices.Sort(child)
		only := func(in, out []string) []string {
			return slices.DeleteFunc(slices.Clone(in), func(name string) bool { return slices.Contains(out, name) })
		}
		added, missing := only(parent, child), only(child, parent)
		if !slices.ContainsFunc(slices.Concat(added, missing), s.servedBy) {
			continue
		}
		var parts []string
		if len(added) > 0 {
			parts = append(parts, some(added)+" only in the delegation")
		}
		if len(missing) > 0 {
			parts = append(parts, some(missing)+" only in the zone's NS RRset")
		}
		found := signf(s.Zone.Name, "the delegation of %s and its NS RRset differ: %s", dnsname.Bare(s.Zone.Name), strings.Join(parts, ", "))
		found = found.fixed("publish one NS RRset at the registry and in the zone, such as %s", strings.Join(child, ", "))
		signs = append(signs, found.seen("delegation: "+strings.Join(parent, ", "), "zone: "+strings.Join(child, ", ")))
	}
	return signs
}

// servedBy reports whether a name server, without its final dot, serves the zone at an address, or was not asked.
func (s Survey) servedBy(server string) bool {
	i := slices.IndexFunc(s.by, func(a address) bool { return dnsname.Bare(a.seen[0].Server) == server })
	return i < 0 || slices.ContainsFunc(s.by, func(a address) bool { return dnsname.Bare(a.seen[0].Server) == server && a.serves() })
}

func addressReserved(c *Case) []sign {
	if c.Private {
		return nil
	}
	var signs []sign
	for _, s := range c.Surveys {
		for _, a := range s.by {
			if o := a.seen[0]; o.Addr.IsValid() && reserved(o.Addr.Addr()) {
				signs = append(signs, signf(s.Zone.Name, "the Internet does not reach that address").at(a.id))
			}
		}
		for _, server := range s.Zone.Servers { // glue that was not asked, such as IPv6 where this machine has none
			for _, addr := range server.Addrs {
				id := addressID(server.Name, addr)
				if reserved(addr) && !slices.ContainsFunc(s.by, func(a address) bool { return a.id == id }) {
					signs = append(signs, signf(s.Zone.Name, "the Internet does not reach that address").at(id).seen("delegation of "+dnsname.Bare(s.Zone.Name)))
				}
			}
		}
	}
	return signs
}

func serversTooMany(s Survey) (sign, bool) {
	found := signf(s.Zone.Name, "%s has more name servers, or they have more addresses, than resolvers try", dnsname.Bare(s.Zone.Name))
	if n := s.LeftOut.Servers; n > 0 {
		found = found.seen(fmt.Sprintf("%d name servers were not looked up", n))
	}
	if n := s.LeftOut.Addresses; n > 0 {
		found = found.seen(fmt.Sprintf("%d addresses were not queried", n))
	}
	return found, len(found.evidence) > 0
}

// maxNegative, in seconds, is how long a negative answer for CAA may stay in caches before it is reported. A
// CA may rely on an answer for eight hours (BR 4.2.2.1), so a day of negative answers is a surprise.
const maxNegative = 3 * 3600

func negativeTTLLong(s Survey) (sign, bool) {
	for _, o := range s.Seen {
		if o.Type != dns.TypeSOA || o.Msg == nil {
			continue
		}
		if set, ok := dnssec.Find(dnssec.RRsets(o.Msg.Answer), s.Zone.Name, dns.TypeSOA); ok {
			ttl := min(set.RRs[0].(*dns.SOA).Minttl, set.TTL)
			return signf(s.Zone.Name, "negative answers of %s, those for CAA included, stay in caches for %d seconds", dnsname.Bare(s.Zone.Name), ttl), ttl > maxNegative
		}
	}
	return sign{}, false
}
