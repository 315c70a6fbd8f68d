package caa

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

	"github.com/coredns-caa/caa/plugin/pkg/terminal"
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
	find   func(h plugin.Handler, l *loader, s *serving) []problem
}

var neighbours = append([]neighbour{
	{"dns64", true, true, always(true, "dns64 adds AAAA records that are not signed to answers of signed zones, which validating resolvers reject: take dns64 out, or give the zones of caa a server block of their own without it")},
	{"siit", true, true, always(true, "siit adds A records that are not signed to answers of signed zones, which validating resolvers reject: take siit out, or give the zones of caa a server block of their own without it")},
	{"rewrite", true, false, rewritten},
	{"any", true, true, always(false, "any answers ANY with HINFO that is not signed, which validating resolvers reject: take it out, for caa answers ANY with CAA alone (RFC 8482)")},
	{"autopath", true, true, pathed},
	{"local", true, true, localhosts},
	{"cache", true, false, always(false, "cache is above caa in the order of this build's plugins: a changed policy shows only when cached answers expire. Move the line caa:... before cache:cache in plugin.cfg and build again")},
	{"dnssec", true, false, always(false, "dnssec is above caa in the order of this build's plugins, and signs what caa answers with denials that hide CAA: take dnssec out, for caa signs its zones, and move the line caa:... before cache:cache in plugin.cfg")},
	{"dnssec", false, true, always(false, "the plugin dnssec of this block signs nothing, for caa signs all answers of its zones: see that the parent's DS is one of caa's keys, and take dnssec out")},
	{"transfer", false, false, transferred},
}, aboveData()...)

// aboveData are the rows of the plugins that hold or make data: above caa they answer in its place.
func aboveData() (rows []neighbour) {
	for _, name := range []string{"template", "hosts", "route53", "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary",
		"etcd", "forward", "grpc", "erratic", "whoami", "dynupdate", "nomad"} {
		rows = append(rows, neighbour{name, true, false, always(false, name+" is above caa in the order of this build's plugins: what it answers has neither the policy's CAA nor caa's signatures. Move the line caa:... before cache:cache in plugin.cfg and build again")})
	}
	return rows
}

// always is a problem with any configuration of the plugin.
func always(fatal bool, text string) func(plugin.Handler, *loader, *serving) []problem {
	return func(plugin.Handler, *loader, *serving) []problem { return []problem{{fatal, text}} }
}

// problems are those of the plugins before and after caa in the chain, with what is to be served.
func (l *loader) problems(s *serving) (out []problem) {
	for i, h := range slices.Concat(l.above, l.under) {
		for _, row := range neighbours {
			if row.plugin == h.Name() && row.above == (i < len(l.above)) && (!row.signed || !l.cfg.unsigned) {
				out = append(out, row.find(h, l, s)...)
			}
		}
	}
	return out
}

// compatible refuses to serve what other plugins of the server block would make bogus, and logs once what they may.
func (l *loader) compatible(s *serving) error {
	var errs []error
	var warnings []string
	for _, p := range l.problems(s) {
		if p.fatal {
			errs = append(errs, fmt.Errorf("%v: %s", l.cfg.pos, p.text))
		} else {
			warnings = append(warnings, fmt.Sprintf("%v: %s", l.cfg.pos, p.text))
		}
	}
	for _, text := range warnings {
		if !slices.Contains(l.warned, text) {
			log.Warning(text)
		}
	}
	l.warned = warnings
	return errors.Join(errs...)
}

// pathed is about autopath, whose aliases along a search path are not signed.
func pathed(h plugin.Handler, l *loader, _ *serving) []problem {
	auto, ok := h.(*autopath.AutoPath)
	if !ok {
		return nil
	}
	zones := slices.DeleteFunc(slices.Clone(auto.Zones), func(zone string) bool { return !l.touches(zone) })
	if len(zones) == 0 {
		return nil
	}
	return []problem{{text: fmt.Sprintf("autopath answers for %s with aliases that are not signed, which validating resolvers reject: name zones in it that caa does not sign", strings.Join(zones, " "))}}
}

// localhosts is about local, which answers for every name that begins with localhost.
func localhosts(_ plugin.Handler, _ *loader, s *serving) []problem {
	for name := range s.policyNames() {
		if strings.HasPrefix(name, "localhost.") {
			return []problem{{text: fmt.Sprintf("local answers for %s, without the policy's CAA and without signatures: take local out, or the name out of the policy", terminal.Bare(name))}}
		}
	}
	return nil
}

// transferred is about transfer, which is refused for the zones that caa answers for.
func transferred(h plugin.Handler, l *loader, _ *serving) []problem {
	if _, ok := h.(*transfer.Transfer); !ok {
		return nil
	}
	var zones []string
	for _, zone := range stringsIn(reflect.ValueOf(h), "Zones") {
		if l.touches(zone) && !slices.Contains(zones, terminal.Bare(zone)) {
			zones = append(zones, terminal.Bare(zone))
		}
	}
	if len(zones) == 0 {
		return nil
	}
	return []problem{{text: fmt.Sprintf("transfer has no effect for %s: AXFR and IXFR of zones that caa answers for are refused, since the data alone have neither the policy's CAA nor caa's signatures. Take transfer out, or transfer the data from a server block without caa", strings.Join(zones, " "))}}
}

// touches reports whether the block answers for a zone, or for one inside it.
func (l *loader) touches(zone string) bool {
	return l.cfg.covers(dns.CanonicalName(zone)) || slices.ContainsFunc(l.cfg.zones, func(own string) bool { return dns.IsSubDomain(zone, own) })
}

// questionTypes are types of questions that a rule of rewrite may be about.
var questionTypes = []uint16{dns.TypeCAA, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeNS, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeDS, dns.TypeCNAME,
	dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeTLSA, dns.TypePTR, dns.TypeNAPTR, dns.TypeSSHFP, dns.TypeHINFO, dns.TypeANY}

// rewritten finds the rules of rewrite that change answers of our zones, by having each rule rewrite questions about
// them. What a rule does is not to be read from outside its package, and it may be for other zones of the block.
func rewritten(h plugin.Handler, l *loader, s *serving) (out []problem) {
	var rules []rewrite.Rule
	switch rw := h.(type) {
	case rewrite.Rewrite:
		rules = rw.Rules
	case *rewrite.Rewrite:
		rules = rw.Rules
	}
	for i, rule := range rules {
		if what, certain := l.changes(s, rule); what != "" {
			verb := "makes"
			if !certain {
				verb = "may make"
			}
			text := fmt.Sprintf("rule %d of rewrite %s: that %s answers of signed zones bogus. Take the rule out, or give the zones of caa a server block of their own without it", i+1, what, verb)
			if l.cfg.unsigned {
				text, certain = fmt.Sprintf("rule %d of rewrite %s: what a CA sees is then not what the policy says. Take the rule out, or give the zones of caa a server block of their own without it", i+1, what), false
			}
			out = append(out, problem{certain, text})
		}
	}
	return out
}

// changes says what a rule does to answers of our zones, "" for nothing; and whether that is certain.
func (l *loader) changes(s *serving, rule rewrite.Rule) (what string, certain bool) {
	words := stringsIn(reflect.ValueOf(rule), "")
	matches := false
	for i, p := range l.probes(s, words) {
		types := questionTypes[:1]
		if i == 0 && !l.cfg.unsigned {
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
	if !matches && slices.ContainsFunc(words, isExpression) && !strings.Contains(fmt.Sprintf("%T", rule), "TTL") && l.onlyOurs(s) {
		return "may rewrite names of these zones", false // no name was found that it matches
	}
	return "", false
}

// isExpression reports whether a word of a rule is a regular expression and not a name.
func isExpression(word string) bool { return strings.ContainsAny(word, `()[]*+?^$|\`) }

// onlyOurs reports whether every name that the server block is asked for is in a zone of ours.
func (l *loader) onlyOurs(s *serving) bool {
	return len(l.site) > 0 && !slices.ContainsFunc(l.site, func(zone string) bool { return s.find(zone) == nil })
}

// changesOne says what a rule does to the answer to one question.
func changesOne(rule rewrite.Rule, name string, qtype uint16, words []string) (what string, certain, matched bool) {
	r := new(dns.Msg).SetQuestion(name, qtype)
	ctx := metadata.ContextWithMetadata(context.Background())
	for _, word := range words {
		metadata.SetValueFunc(ctx, word, func() string { return "x" }) // where the word is a label
	}
	responses, result := rule.Rewrite(ctx, request.Request{W: new(loopback), Req: r})
	if result != rewrite.RewriteDone {
		return "", false, false
	}
	asked := terminal.Bare(name) + " " + dns.Type(qtype).String()
	if q := r.Question[0]; q.Name != name || q.Qtype != qtype || q.Qclass != dns.ClassINET {
		instead := terminal.Bare(q.Name) + " " + dns.Type(q.Qtype).String()
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
				if response.RewriteResponse(m, &dns.CAA{Hdr: header(name, dns.TypeCAA, 0)}); m.Rcode != before {
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
func (l *loader) probes(s *serving, words []string) (listed []probe) {
	var unlisted []probe
	// That a name of ours has a word of the rule in it is likely only where all names are ours, and the rule not one
	// for names that end in that word.
	combined := l.onlyOurs(s) && !slices.ContainsFunc(words, isExpression)
	words = literals(words)
	add := func(name string) {
		if _, ok := dns.IsDomainName(name); !ok {
			return
		}
		name = dns.CanonicalName(name)
		switch z := s.find(name); {
		case z != nil && z.lender == nil:
			listed = append(listed, probe{name: name})
		case z == nil && l.discovers(s.policy) && l.cfg.covers(name):
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

// policyNames yields the names that the policy names in the zones of this block.
func (s *serving) policyNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, z := range s.zones {
			for node := range z.Nodes() {
				if z.lender == nil && !yield(node.Name) {
					return
				}
			}
		}
		for _, cert := range s.policy.Certificates {
			if z := s.find(cert.Name); z != nil && z.lender == nil && !yield(cert.Name) {
				return
			}
		}
	}
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
