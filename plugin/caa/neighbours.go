package caa

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/autopath"
	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/plugin/rewrite"
	"github.com/coredns/coredns/plugin/transfer"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/caa/overlay"
	"github.com/coredns-caa/caa/plugin/caa/plugins"
	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// This file looks at the other plugins of the server block. One before caa in the chain may change an answer after it
// was signed, which makes it bogus, or answer in its place. What certainly does is an error at the start, what may is a
// warning, and what does not concern the zones of this block is neither.

// problem is what another plugin of the server block does to the answers of caa, with the remedy.
type problem struct {
	fatal bool
	text  string
}

// neighbour is a row: a plugin that does not go with caa.
type neighbour struct {
	plugin string
	above  bool // whether it matters before caa in the chain, or after it
	signed bool // whether it matters only to signed zones
	find   func(h plugin.Handler, n *neighbourhood, s *serving) []problem
}

var neighbours = append([]neighbour{
	{"dns64", true, true, always(true, "dns64 adds unsigned AAAA records to answers of signed zones, which validating resolvers reject: remove dns64, or move the zones of caa to a server block without it")},
	{"siit", true, true, always(true, "siit adds unsigned A records to answers of signed zones, which validating resolvers reject: remove siit, or move the zones of caa to a server block without it")},
	{"rewrite", true, false, rewritten},
	{"any", true, true, always(false, "any answers ANY with an unsigned HINFO, which validating resolvers reject: remove any; caa answers ANY with CAA alone (RFC 8482)")},
	{"autopath", true, true, pathed},
	{"local", true, true, localhosts},
	{"cache", true, false, always(false, "cache is before caa in this build's plugin order, so a changed policy takes effect only when cached answers expire: move the line caa:... before cache:cache in plugin.cfg and rebuild")},
	{"dnssec", true, false, always(false, "dnssec is before caa in this build's plugin order, and signs caa's answers with denials that hide CAA: remove dnssec (caa signs its zones), and move the line caa:... before cache:cache in plugin.cfg")},
	{"dnssec", false, true, always(false, "the plugin dnssec of this server block signs nothing, because caa signs all answers of its zones: check that the parent's DS matches a key of caa, then remove dnssec")},
	{"transfer", false, false, transferred},
}, aboveData()...)

// aboveData are the rows of the plugins that answer in place of caa when they are before it.
func aboveData() (rows []neighbour) {
	for _, name := range plugins.With(plugins.Answers) {
		rows = append(rows, neighbour{name, true, false, always(false, name+" is before caa in this build's plugin order, so its answers have neither the policy's CAA nor caa's signatures: move the line caa:... before cache:cache in plugin.cfg and rebuild")})
	}
	return rows
}

// always is a problem with any configuration of the plugin.
func always(fatal bool, text string) func(plugin.Handler, *neighbourhood, *serving) []problem {
	return func(plugin.Handler, *neighbourhood, *serving) []problem { return []problem{{fatal, text}} }
}

// neighbourhood is the other plugins of a server block.
type neighbourhood struct {
	cfg       *config
	site      []string         // the zones of the server block
	above     []plugin.Handler // the plugins before caa in the chain
	under     []plugin.Handler // and after it
	discovers func(*policy.Snapshot) bool
	warned    []string // what was logged last
}

// problems are those of the plugins before and after caa in the chain, with what is to be served.
func (n *neighbourhood) problems(s *serving) (out []problem) {
	for i, h := range slices.Concat(n.above, n.under) {
		for _, row := range neighbours {
			if row.plugin == h.Name() && row.above == (i < len(n.above)) && (!row.signed || !n.cfg.unsigned) {
				out = append(out, row.find(h, n, s)...)
			}
		}
	}
	return out
}

// compatible refuses to serve what other plugins of the server block would make bogus, and logs once what they may.
func (n *neighbourhood) compatible(s *serving) error {
	var errs []error
	var warnings []string
	for _, p := range n.problems(s) {
		if p.fatal {
			errs = append(errs, fmt.Errorf("%v: %s", n.cfg.pos, p.text))
		} else {
			warnings = append(warnings, fmt.Sprintf("%v: %s", n.cfg.pos, p.text))
		}
	}
	for _, text := range warnings {
		if !slices.Contains(n.warned, text) {
			log.Warning(text)
		}
	}
	n.warned = warnings
	return errors.Join(errs...)
}

// pathed is about autopath, whose aliases along a search path are not signed.
func pathed(h plugin.Handler, n *neighbourhood, _ *serving) []problem {
	auto, ok := h.(*autopath.AutoPath)
	if !ok {
		return nil
	}
	zones := slices.DeleteFunc(slices.Clone(auto.Zones), func(zone string) bool { return !n.touches(zone) })
	if len(zones) == 0 {
		return nil
	}
	return []problem{{text: fmt.Sprintf("autopath answers for %s with unsigned aliases, which validating resolvers reject: list only zones in autopath that caa does not sign", strings.Join(zones, " "))}}
}

// localhosts is about local, which answers for every name that begins with localhost.
func localhosts(_ plugin.Handler, _ *neighbourhood, s *serving) []problem {
	for name := range s.policyNames() {
		if strings.HasPrefix(name, "localhost.") {
			return []problem{{text: fmt.Sprintf("local answers for %s without the policy's CAA and without signatures: remove local, or remove the name from the policy", dnsname.Bare(name))}}
		}
	}
	return nil
}

// transferred is about transfer, which is refused for the zones that caa answers for.
func transferred(h plugin.Handler, n *neighbourhood, _ *serving) []problem {
	if _, ok := h.(*transfer.Transfer); !ok {
		return nil
	}
	var zones []string
	for _, zone := range stringsIn(reflect.ValueOf(h), "Zones") {
		if n.touches(zone) && !slices.Contains(zones, dnsname.Bare(zone)) {
			zones = append(zones, dnsname.Bare(zone))
		}
	}
	if len(zones) == 0 {
		return nil
	}
	return []problem{{text: fmt.Sprintf("transfer has no effect for %s: caa refuses AXFR and IXFR of its zones, since the next plugin's data have neither the policy's CAA nor caa's signatures. Remove transfer, or transfer the data from a server block without caa", strings.Join(zones, " "))}}
}

// touches reports whether the block answers for a zone, or for one inside it.
func (n *neighbourhood) touches(zone string) bool {
	return n.cfg.covers(dns.CanonicalName(zone)) || slices.ContainsFunc(n.cfg.zones, func(own string) bool { return dns.IsSubDomain(zone, own) })
}

// questionTypes are types of questions that a rule of rewrite may be about.
var questionTypes = []uint16{dns.TypeCAA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeDS, dns.TypeCNAME,
	dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTLSA, dns.TypePTR, dns.TypeNAPTR, dns.TypeSSHFP, dns.TypeHINFO, dns.TypeANY}

// rewritten finds the rules of rewrite that change answers of our zones, by having each rule rewrite questions about
// them. What a rule does is not to be read from outside its package, and it may be for other zones of the block.
func rewritten(h plugin.Handler, n *neighbourhood, s *serving) (out []problem) {
	var rules []rewrite.Rule
	switch rw := h.(type) {
	case rewrite.Rewrite:
		rules = rw.Rules
	case *rewrite.Rewrite:
		rules = rw.Rules
	}
	for i, rule := range rules {
		if what, certain := n.changes(s, rule); what != "" {
			verb := "makes"
			if !certain {
				verb = "may make"
			}
			text := fmt.Sprintf("rule %d of rewrite %s: that %s answers of signed zones bogus. Remove the rule, or move the zones of caa to a server block without it", i+1, what, verb)
			if n.cfg.unsigned {
				text, certain = fmt.Sprintf("rule %d of rewrite %s: a CA then sees other CAA than the policy's. Remove the rule, or move the zones of caa to a server block without it", i+1, what), false
			}
			out = append(out, problem{certain, text})
		}
	}
	return out
}

// changes says what a rule does to answers of our zones, "" for nothing; and whether that is certain.
func (n *neighbourhood) changes(s *serving, rule rewrite.Rule) (what string, certain bool) {
	words := stringsIn(reflect.ValueOf(rule), "")
	matches := false
	for i, p := range n.probes(s, words) {
		types := questionTypes[:1]
		if i == 0 && !n.cfg.unsigned {
			types = questionTypes // a rule about types is not one about names
		}
		for _, qtype := range types {
			what, certain, matched := changesOne(rule, p.name, qtype, words)
			if what != "" {
				return what, certain && !p.unlisted
			}
			matches = matches || matched
		}
	}
	if !matches && slices.ContainsFunc(words, isExpression) && !strings.Contains(fmt.Sprintf("%T", rule), "TTL") && n.onlyOurs(s) {
		return "may rewrite names of these zones", false // no name was found that it matches
	}
	return "", false
}

// isExpression reports whether a word of a rule is a regular expression and not a name.
func isExpression(word string) bool { return strings.ContainsAny(word, `()[]*+?^$|\`) }

// onlyOurs reports whether every name that the server block is asked for is in a zone of ours.
func (n *neighbourhood) onlyOurs(s *serving) bool {
	return len(n.site) > 0 && !slices.ContainsFunc(n.site, func(zone string) bool { return s.zones.Find(zone) == nil })
}

// changesOne says what a rule does to the answer to one question.
func changesOne(rule rewrite.Rule, name string, qtype uint16, words []string) (what string, certain, matched bool) {
	r := new(dns.Msg).SetQuestion(name, qtype)
	ctx := metadata.ContextWithMetadata(context.Background())
	for _, word := range words {
		metadata.SetValueFunc(ctx, word, func() string { return "x" }) // where the word is a label
	}
	responses, result := rule.Rewrite(ctx, request.Request{W: new(overlay.Loopback), Req: r})
	if result != rewrite.RewriteDone {
		return "", false, false
	}
	asked := dnsname.Bare(name) + " " + dns.Type(qtype).String()
	if q := r.Question[0]; q.Name != name || q.Qtype != qtype || q.Qclass != dns.ClassINET {
		instead := dnsname.Bare(q.Name) + " " + dns.Type(q.Qtype).String()
		return fmt.Sprintf("answers %s with %s", asked, instead), qtype != dns.TypeANY, true // nobody relies on ANY (RFC 8482)
	}
	for _, response := range responses {
		switch kind := fmt.Sprintf("%T", response); {
		case strings.Contains(kind, "edns0"), strings.Contains(kind, "ttl"): // a lower TTL is cached for less, a higher one is cut (RFC 4035 5.3.3)
		case strings.Contains(kind, "cname"):
			return "changes the targets of aliases", false, true // whether there is such an alias is the data's to say
		case strings.Contains(kind, "rcode"):
			m := new(dns.Msg).SetReply(r)
			for _, m.Rcode = range []int{dns.RcodeSuccess, dns.RcodeNameError} {
				before := m.Rcode
				if response.RewriteResponse(m, &dns.CAA{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCAA, Class: dns.ClassINET}}); m.Rcode != before {
					return fmt.Sprintf("answers %s with %s in place of %s", asked, dns.RcodeToString[m.Rcode], dns.RcodeToString[before]), true, true
				}
			}
		default:
			return "changes the answer to " + asked, true, true
		}
	}
	return "", false, true
}

// maxProbes bounds the questions that each rule is tried on.
const maxProbes = 10_000

// probe is a name that a rule is tried on.
type probe struct {
	name     string
	unlisted bool // its zone is not served, and would have the policy's default if it appeared
}

// probes are names of our zones for a rule to be tried on: those that the policy names, and those that the rule's
// own words make.
func (n *neighbourhood) probes(s *serving, words []string) (listed []probe) {
	var unlisted []probe
	// That a name of ours has a word of the rule in it is likely only where all names are ours, and the rule not one
	// for names that end in that word.
	combined := n.onlyOurs(s) && !slices.ContainsFunc(words, isExpression)
	words = literals(words)
	add := func(name string) {
		if _, ok := dns.IsDomainName(name); !ok {
			return
		}
		name = dns.CanonicalName(name)
		switch z := s.zones.Find(name); {
		case z != nil && s.owner(z) == nil:
			listed = append(listed, probe{name: name})
		case z == nil && n.discovers(s.policy) && n.cfg.covers(name):
			unlisted = append(unlisted, probe{name, true})
		}
	}
	for _, word := range words {
		add(dns.Fqdn(word))
		add(dns.Fqdn("x" + word))
		add(dns.Fqdn("x." + word))
	}
	for name := range s.policyNames() {
		if len(listed) >= maxProbes {
			break
		}
		add(name)
		add("x." + name)
		for _, word := range words {
			if !combined {
				break
			}
			add(word + name)
			add(word + "." + name)
			add(word + "x." + name)
			add("x" + word + "x." + name)
		}
	}
	add("x.example.") // for rules about types, where no zone is listed
	return append(listed, unlisted...)
}

// literals are the words without what makes some of them regular expressions.
func literals(words []string) (out []string) {
	for _, word := range words {
		parts := strings.FieldsFunc(strings.ReplaceAll(word, `\.`, "."), func(r rune) bool { return isExpression(string(r)) })
		out = append(out, parts...)
	}
	return out
}

// stringsIn are the strings in the fields of a value, also in those that are not exported; with a name, only in
// fields that are called so.
func stringsIn(v reflect.Value, field string) (out []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*regexp.Regexp]() && !v.IsNil() {
			return stringsIn(v.Elem().FieldByName("expr"), field)
		}
		if !v.IsNil() {
			return stringsIn(v.Elem(), field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, stringsIn(v.Index(i), field)...)
		}
	case reflect.String:
		if field == "" && v.Len() > 0 {
			return []string{v.String()}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			within := field
			if v.Type().Field(i).Name == field {
				within = ""
			}
			out = append(out, stringsIn(v.Field(i), within)...)
		}
	}
	return out
}
