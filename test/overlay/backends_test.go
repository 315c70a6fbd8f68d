package overlay

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// backend is a way in which a next plugin holds the data of zones.
type backend struct {
	name   string
	wanted []construct
	cached bool // TTLs are not those of the data: a cache counts them down
	files  bool // the plugin file, or one that is made of it, looks names up
	// uncertain is whether nobody can know that a name does not exist: the next plugins answer by type, or share names.
	uncertain bool
	// unsigned zones have their CAA from us, and all else from the next plugin as it is.
	unsigned bool
	// signedBy are dnssec-signzone's options for the data, where they are signed already, by another key.
	signedBy func(*zone) []string
	// prune takes from a zone what the backend cannot hold; nil for nothing.
	prune func(*zone)
	// lines are those of the server blocks, each for some of the zones.
	lines func(s *sources, zones []*zone) []block
}

// block is a server block: its zones, and what stands under caa.
type block struct {
	zones []*zone
	lines string
}

// sources are where next plugins have their data from.
type sources struct {
	files map[string]string // of CoreDNS's folder
	named netip.AddrPort    // BIND with the data as they are
	etcd  netip.AddrPort
	// transfers counts the zones that CoreDNS must transfer before it is ready.
	transfers int
}

var backends = []backend{
	{name: "file", files: true, wanted: constructs, lines: fileLines},
	{name: "file under cache", files: true, wanted: constructs, cached: true, lines: underCache(fileLines)},
	{name: "auto", files: true, wanted: constructs, lines: autoLines},
	{name: "secondary", files: true, wanted: constructs, lines: secondaryLines},
	{name: "secondary of signed zones", files: true, wanted: constructs, signedBy: withNSEC, lines: secondaryLines}, // CoreDNS takes no NSEC3
	{name: "forward", uncertain: true, wanted: forwarded, lines: forwardLines},
	{name: "forward to signed zones", uncertain: true, wanted: forwarded, signedBy: denials, lines: forwardLines},
	{name: "forward under cache", uncertain: true, wanted: forwarded, cached: true, lines: underCache(forwardLines)},
	// hosts has one TTL for all.
	{name: "hosts over file", files: true, uncertain: true, cached: true, wanted: only("hosts", "aliases inside", "cuts", "unassigned types", "aliases out"), lines: hostsLines},
	{name: "file, unsigned", files: true, unsigned: true, wanted: constructs, lines: fileLines},
	{name: "template", uncertain: true, wanted: without("unassigned types", "a type that is never claimed"), lines: templateLines},
}

// only are some of the constructs.
func only(names ...string) []construct {
	return slices.DeleteFunc(slices.Clone(constructs), func(c construct) bool { return !slices.Contains(names, c.name) })
}

// forwarded are what forward can be asked for: of a type that no denial claims it does not know beforehand.
var forwarded = without("a type that is never claimed")

// without are all constructs but some that a backend cannot say.
func without(names ...string) []construct {
	return slices.DeleteFunc(slices.Clone(constructs), func(c construct) bool { return slices.Contains(names, c.name) })
}

func underCache(lines func(*sources, []*zone) []block) func(*sources, []*zone) []block {
	return func(s *sources, zones []*zone) []block {
		blocks := lines(s, zones)
		for i := range blocks {
			blocks[i].lines = "    cache 3600\n" + blocks[i].lines
		}
		return blocks
	}
}

func fileLines(s *sources, zones []*zone) []block {
	var b strings.Builder
	for _, z := range zones {
		s.files["db."+z.apex] = text(z.rrs)
		fmt.Fprintf(&b, "    file $DIR/db.%s %s\n", z.apex, z.apex)
	}
	return []block{{zones, b.String()}}
}

func autoLines(s *sources, zones []*zone) []block {
	for _, z := range zones {
		s.files["auto/auto."+z.apex+"db"] = text(z.rrs)
	}
	return []block{{zones, "    auto {\n        directory $DIR/auto auto\\.(.*)\\.db {1}\n    }\n"}}
}

func secondaryLines(s *sources, zones []*zone) []block {
	s.transfers += len(zones)
	return []block{{zones, "    secondary {\n        transfer from " + s.named.String() + "\n    }\n"}}
}

func forwardLines(s *sources, zones []*zone) []block {
	return []block{{zones, "    forward . " + s.named.String() + "\n"}}
}

// hostsLines keeps addresses of names right below the apex in hosts, all else in file: hosts knows no
// names but its own, so that the names above or below them are up to file.
func hostsLines(s *sources, zones []*zone) []block {
	var hosts, files strings.Builder
	for _, z := range zones {
		var rest []dns.RR
		for _, rr := range z.rrs {
			h := rr.Header()
			if fields := strings.Fields(rr.String()); (h.Rrtype == dns.TypeA || h.Rrtype == dns.TypeAAAA) && inHosts(z, dns.CanonicalName(h.Name)) {
				fmt.Fprintf(&hosts, "        %s %s\n", fields[4], h.Name)
			} else {
				rest = append(rest, rr)
			}
		}
		s.files["db."+z.apex] = text(rest)
		fmt.Fprintf(&files, "    file $DIR/db.%s %s\n", z.apex, z.apex)
	}
	return []block{{zones, "    hosts {\n" + hosts.String() + "        fallthrough\n    }\n" + files.String()}}
}

// inHosts reports whether a name has addresses and nothing else.
func inHosts(z *zone, name string) bool {
	return dns.CountLabel(name) == dns.CountLabel(z.apex)+1 && !strings.HasPrefix(name, "*") && !z.hasBelow(name) &&
		!slices.ContainsFunc(z.types[name], func(t uint16) bool { return t != dns.TypeA && t != dns.TypeAAAA })
}

func (z *zone) hasBelow(name string) bool {
	for owner := range z.types {
		if owner != name && dns.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}

// templateLines writes the zone's rules as templates, in the order of RFC 1034 4.3.2: cuts and DNAME,
// names that exist, wildcards from the deepest up, and an end.
func templateLines(_ *sources, zones []*zone) []block {
	var blocks []block
	for _, z := range zones {
		blocks = append(blocks, block{[]*zone{z}, z.templates()})
	}
	return blocks
}

// templates are the zone's.
func (z *zone) templates() string {
	t := &templates{zone: z}
	for name := range z.types {
		_, cut := z.cuts[name]
		switch {
		case z.occluded(name):
		case cut:
			t.one("DS", exact(name), "NOERROR", z.at(name, dns.TypeDS), nil, nil)
			t.one("ANY", "(?i)^(.*\\.)?"+regexp.QuoteMeta(name)+"$", "NOERROR", nil, z.at(name, dns.TypeNS), z.glue(name))
		case slices.Contains(z.types[name], dns.TypeDNAME):
			t.one("ANY", "(?i)^.+\\."+regexp.QuoteMeta(name)+"$", "NOERROR", z.at(name, dns.TypeDNAME), nil, nil)
		}
	}
	existing := z.existing()
	for _, name := range slices.Sorted(maps.Keys(existing)) {
		if _, cut := z.cuts[name]; !cut && !z.occluded(name) {
			t.owner(name, exact(name), "")
		}
	}
	// A wildcard matches below its parent, but not at or below what exists there.
	byDepth := slices.SortedFunc(maps.Keys(existing), func(a, b string) int { return dns.CountLabel(b) - dns.CountLabel(a) })
	for _, encloser := range byDepth {
		below := "(?i)^.+\\." + regexp.QuoteMeta(encloser) + "$"
		if z.types["*."+encloser] != nil {
			t.owner("*."+encloser, below, "{{.Name}}")
		}
		t.one("ANY", below, "NXDOMAIN", nil, z.at(z.apex, dns.TypeSOA), nil)
	}
	return t.b.String()
}

func exact(name string) string { return "(?i)^" + regexp.QuoteMeta(name) + "$" }

func (z *zone) at(name string, rrtype uint16) []dns.RR {
	return slices.DeleteFunc(slices.Clone(z.rrs), func(rr dns.RR) bool {
		return rr.Header().Rrtype != rrtype || dns.CanonicalName(rr.Header().Name) != name
	})
}

// glue are the addresses of a cut's servers.
func (z *zone) glue(cut string) []dns.RR {
	var out []dns.RR
	for _, rr := range z.at(cut, dns.TypeNS) {
		out = append(out, z.at(dns.CanonicalName(rr.(*dns.NS).Ns), dns.TypeA)...)
	}
	return out
}

// templates are those of a zone in the making.
type templates struct {
	*zone
	b strings.Builder
}

// owner writes what a name has, under another owner where it is a wildcard.
func (t *templates) owner(name, match, owner string) {
	for _, rrtype := range t.types[name] {
		rrs := t.at(name, rrtype)
		if owner != "" {
			for i := range rrs {
				rrs[i] = dns.Copy(rrs[i])
				rrs[i].Header().Name = owner
			}
		}
		asked := dns.Type(rrtype).String()
		if rrtype == dns.TypeCNAME {
			asked = "ANY"
		}
		t.one(asked, match, "NOERROR", rrs, nil, nil)
	}
	t.one("ANY", match, "NOERROR", nil, t.at(t.apex, dns.TypeSOA), nil)
}

// one writes a template.
func (t *templates) one(rrtype, match, rcode string, answer, authority, additional []dns.RR) {
	fmt.Fprintf(&t.b, "    template IN %s {\n        match \"%s\"\n        rcode %s\n", rrtype, match, rcode)
	for i, section := range [][]dns.RR{answer, authority, additional} {
		for _, rr := range section {
			line := strings.ReplaceAll(strings.Join(strings.Fields(rr.String()), " "), `"`, `\"`)
			fmt.Fprintf(&t.b, "        %s \"%s\"\n", []string{"answer", "authority", "additional"}[i], line)
		}
	}
	t.b.WriteString("        fallthrough\n    }\n")
}

// starter is world.CoreDNS or world.FullCoreDNS.
type starter func(t testing.TB, corefile string, files map[string]string) *world.Process

// server is our CoreDNS with all zones, each behind the backend of its seed.
func server(t *testing.T, zones []*zone, keys map[string]world.Key, s *sources, run starter) *world.Process {
	t.Helper()
	var corefile strings.Builder
	policy := "version: 1\nissuers:\n  letsencrypt: {domain: letsencrypt.org}\n  digicert: {domain: digicert.com}\nremoved: [{issuer: of.the.data.example}]\nzones:\n"
	for _, z := range zones {
		policy += z.yaml()
		maps.Copy(s.files, keys[z.apex].Files)
	}
	s.files["policy.yaml"] = policy
	s.files["db.outside"] = outsideData
	behind := map[*backend][]*zone{}
	for _, z := range zones {
		behind[z.behind] = append(behind[z.behind], z)
	}
	for b, mine := range behind {
		for _, block := range b.lines(s, mine) {
			writeBlock(&corefile, block, keys)
		}
	}
	corefile.WriteString("outside.test:$PORT {\n    bind $ADDR\n    file $DIR/db.outside\n}\n")
	p := run(t, corefile.String(), s.files)
	p.WaitLogs(t, "Transferred: ", s.transfers)
	return p
}

func writeBlock(b *strings.Builder, block block, keys map[string]world.Key) {
	var names []string
	key := "key file"
	for _, z := range block.zones {
		names = append(names, z.apex+":$PORT")
		if key += " $DIR/" + keys[z.apex].Name; z.behind.unsigned {
			key = "unsigned"
		}
	}
	fmt.Fprintf(b, "%s {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml {\n        %s\n        reload off\n    }\n%s}\n", strings.Join(names, " "), key, block.lines)
}
