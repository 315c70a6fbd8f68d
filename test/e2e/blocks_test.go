package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// Two blocks of one server read one policy: the zone above and the one below have keys of their own. DS is asked
// of the block above (RFC 4035 3.1.4.1), and must be that of the keys which the block below serves.
func TestZoneBelowHasABlockOfItsOwn(t *testing.T) {
	t.Parallel()
	above, below, stale := world.NewKey(t, "example.org"), world.NewKey(t, "corp.example.org"), world.NewKey(t, "corp.example.org")
	const data, complete = "{}", "{nameservers: [{name: ns1.example.org}]}"
	for name, c := range map[string]struct {
		below                string // what the policy says of the zone below
		keysAbove, keysBelow string
		authentic            bool
	}{
		"each with its key":                 {data, "key file $DIR/" + above.Name, "key file $DIR/" + below.Name, true},
		"another key above":                 {data, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "key file $DIR/" + below.Name, true},
		"the one below unsigned":            {data, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "unsigned", false},
		"the one below is yet without a DS": {data, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "key auto $DIR/keys", false},
		"policy-only, another key above":    {complete, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "key file $DIR/" + below.Name, true},
		"policy-only, unsigned":             {complete, "key file $DIR/" + above.Name + " $DIR/" + stale.Name, "unsigned", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"policy.yaml": `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
default: {issue: [letsencrypt]}
zones:
  example.org: {nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]}
  corp.example.org: ` + c.below + `
certificates: [{names: [www.corp.example.org, www.example.org], issuer: letsencrypt}]
`, "corp.zone": "@ 300 IN SOA ns1.example.org. h.example.org. 1 1 1 1 300\n@ 300 IN NS ns1.example.org.\nwww 300 IN A 192.0.2.1\n"}
			for _, key := range []world.Key{above, below, stale} {
				maps.Copy(files, key.Files)
			}
			server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        `+c.keysAbove+`
    }
}
corp.example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        `+c.keysBelow+`
    }
    file $DIR/corp.zone
}
`, files)
			resolver := world.Unbound(t, world.Zone{Name: "example.org", Server: server.Addr, Anchor: above.DS}).Addr
			wantCAA(t, world.Ask(t, resolver, "www.example.org", dns.TypeCAA), `0 issue "letsencrypt.org"`)
			m := world.Ask(t, resolver, "www.corp.example.org", dns.TypeCAA)
			if m.AuthenticatedData != c.authentic || len(world.Texts(m.Answer, dns.TypeCAA)) != 1 {
				t.Errorf("want an answer, authentic: %v; got\n%v", c.authentic, m)
			}
			server.WaitLogs(t, "Ready: the served answers allow every required issuance", 2)
		})
	}
}

// CoreDNS asks the block of the highest zone also for DS of names in the zone below, whose data it does not have
// (RFC 4035 3.1.4.1), and an alias above may lead there: nothing is denied by the wrong data.
func TestNamesInABlockOfTheirOwn(t *testing.T) {
	t.Parallel()
	above, below := world.NewKey(t, "example.org"), world.NewKey(t, "corp.example.org")
	const head = "@ 300 IN SOA ns1.example.org. h.example.org. 1 1 1 1 300\n@ 300 IN NS ns1.example.org.\n"
	files := map[string]string{"policy.yaml": `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
default: {issue: [letsencrypt]}
zones:
  example.org: {}
  corp.example.org: {}
certificates: [{names: [alias.example.org], issuer: letsencrypt}]
`,
		"above.zone": head + "alias 300 IN CNAME www.corp\nns1 300 IN A 127.0.0.1\n",
		"below.zone": head + "www 300 IN A 192.0.2.1\nsub.www 300 IN NS ns.example.net.\n",
	}
	maps.Copy(files, above.Files)
	maps.Copy(files, below.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/`+above.Name+`
    }
    file $DIR/above.zone
}
corp.example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/`+below.Name+`
    }
    file $DIR/below.zone
}
`, files)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string // the types in the bitmap of the denial at the name, or "" for none
	}{
		{"www.corp.example.org", dns.TypeDS, "AAAA"},
		{"sub.www.corp.example.org", dns.TypeDS, "NS"},
		{"nope.corp.example.org", dns.TypeDS, "NXNAME"},
		{"alias.example.org", dns.TypeAAAA, ""},
	} {
		m := world.Ask(t, server.Addr, c.name, c.qtype)
		var bitmap []string
		for _, rr := range m.Ns {
			if nsec, ok := rr.(*dns.NSEC); ok {
				for _, t := range nsec.TypeBitMap {
					bitmap = append(bitmap, dns.Type(t).String())
				}
			}
		}
		if c.want == "" && bitmap != nil || c.want != "" && !slices.Contains(bitmap, c.want) {
			t.Errorf("%s %s: the denial has %q, want %q; got\n%v", c.name, dns.Type(c.qtype), bitmap, c.want, m)
		}
	}
	resolver := world.Unbound(t, world.Zone{Name: "example.org", Server: server.Addr, Anchor: above.DS}).Addr
	wantCAA(t, world.Ask(t, resolver, "alias.example.org", dns.TypeCAA), `0 issue "letsencrypt.org"`)
	server.WaitLogs(t, "Ready: the served answers allow every required issuance", 2)
}

// DS is the parent's (RFC 4035 3.1.4.1), whichever block CoreDNS takes it to: it prefers a named block to `.`, so that the
// zone's own block has it, and of several named ones the highest, which may be the grandparent's. Zones between that the
// policy does not list have their keys named, too.
func TestDSComesFromTheParentsBlock(t *testing.T) {
	t.Parallel()
	const soa = "@ 300 IN SOA ns h 1 1 1 1 300\n@ 300 IN NS ns\nns 300 IN A 127.0.0.1\nwww 300 IN A 192.0.2.1\n"
	top, mid, low := world.NewKey(t, "example.org"), world.NewKey(t, "mid.example.org"), world.NewKey(t, "low.mid.example.org")
	files := map[string]string{
		"zones/db.example.org":         soa + "mid 300 IN NS ns.mid\nns.mid 300 IN A 127.0.0.1\n",
		"zones/db.mid.example.org":     soa + "low 300 IN NS ns.low\nns.low 300 IN A 127.0.0.1\n",
		"zones/db.low.mid.example.org": soa,
	}
	for _, key := range []world.Key{top, mid, low} {
		maps.Copy(files, key.Files)
	}
	const separate = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones: {mid.example.org: {issue: [le], nameservers: [{name: ns.mid.example.org, addresses: [127.0.0.1]}]}, low.mid.example.org: {issue: [le]}}
certificates: [{names: [www.mid.example.org], issuer: le}]
`
	const listed, unlisted = ", mid.example.org: {issue: [le]}, low.mid.example.org: {issue: [le]}", ", low.mid.example.org: {issue: [le]}"
	withPolicy := func(text, file string) string { return strings.ReplaceAll(text, "policy.yaml", file) }
	block := func(zone, own, plugin string, key world.Key) string {
		return zone + ":$PORT {\n    bind $ADDR\n    errors\n    caa $DIR/policy.yaml " + own + " {\n        key file $DIR/" + key.Name + "\n        parent off\n    }\n    " + plugin + "\n}\n"
	}
	file := func(zone string) string { return "file $DIR/zones/db." + zone + " " + zone }
	for name, c := range map[string]struct{ zones, corefile string }{
		"the zone between has a policy file of its own": {"", block("example.org", "", "", top) +
			withPolicy(block("mid.example.org", "", "", mid)+block("low.mid.example.org", "", file("low.mid.example.org"), low), "separate.yaml")},
		"a block for each zone": {listed, block("example.org", "", file("example.org"), top) +
			block("mid.example.org", "", file("mid.example.org"), mid) + block("low.mid.example.org", "", file("low.mid.example.org"), low)},
		"the one between is not listed": {unlisted, block("example.org", "", file("example.org"), top) +
			block("mid.example.org", "", file("mid.example.org"), mid) + block("low.mid.example.org", "", file("low.mid.example.org"), low)},
		"the same, the lowest block first": {unlisted, block("low.mid.example.org", "", file("low.mid.example.org"), low) +
			block("mid.example.org", "", file("mid.example.org"), mid) + block("example.org", "", file("example.org"), top)},
		"the highest in the block of the root": {listed, block(".", "example.org", file("example.org"), top) +
			block("mid.example.org", "", file("mid.example.org"), mid) + block("low.mid.example.org", "", file("low.mid.example.org"), low)},
		"the same, and nothing between is listed": {unlisted, block("mid.example.org", "", file("mid.example.org"), mid) +
			block("low.mid.example.org", "", file("low.mid.example.org"), low) + block(".", "example.org", file("example.org"), top)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := maps.Clone(files)
			own["separate.yaml"] = separate
			own["policy.yaml"] = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\nzones: {example.org: {issue: [le]}" + c.zones + "}\n" +
				"certificates: [{names: [www.example.org, www.mid.example.org, www.low.mid.example.org], issuer: le}]\n"
			if c.zones == "" { // the policy of the highest zone alone, which is complete by it
				own["policy.yaml"] = `version: 1
issuers: {le: {domain: letsencrypt.org}}
zones: {example.org: {issue: [le], nameservers: [{name: ns.example.org, addresses: [127.0.0.1]}]}}
certificates: [{names: [www.example.org], issuer: le}]
`
			}
			server := world.CoreDNS(t, c.corefile, own)
			for kind, start := range map[string]world.Resolver{"unbound": world.Unbound, "BIND": world.BIND} {
				resolver := start(t, world.Zone{Name: "low.mid.example.org", Server: server.Addr}, world.Zone{Name: "mid.example.org", Server: server.Addr},
					world.Zone{Name: "example.org", Server: server.Addr, Anchor: top.DS}).Addr
				for _, zone := range []string{"example.org", "mid.example.org", "low.mid.example.org"} {
					if m := world.Ask(t, resolver, "www."+zone, dns.TypeCAA); !m.AuthenticatedData || len(world.Texts(m.Answer, dns.TypeCAA)) != 1 {
						t.Errorf("%s: www.%s CAA: want an authentic answer, got\n%v", kind, zone, m)
					}
					m := world.Ask(t, resolver, zone, dns.TypeDS)
					if zone != "example.org" && (!m.AuthenticatedData || len(world.Texts(m.Answer, dns.TypeDS)) != 1) {
						t.Errorf("%s: %s DS: want an authentic one, got\n%v", kind, zone, m)
					}
				}
			}
			server.WaitLogs(t, "Ready: the served answers allow every required issuance", 3)
		})
	}
}
