package keys

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/test/lab"
)

// with makes a server answer questions of a type with records of its own.
func with(rrtype uint16, make func(q dns.Question, m *dns.Msg)) lab.Hook {
	return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
		if q.Qtype == rrtype {
			m = m.Copy()
			make(q, m)
		}
		return m
	}
}

func refuses(_ string, _ dns.Question, m *dns.Msg) *dns.Msg {
	m = m.Copy()
	m.Rcode, m.Answer, m.Ns = dns.RcodeRefused, nil, nil
	return m
}

// Without a network nothing is known of a zone, not even whether it is one.
func TestOffline(t *testing.T) {
	t.Parallel()
	drop := func(string, dns.Question, *dns.Msg) *dns.Msg { return nil }
	l := lab.New(t, map[string]lab.Hook{"a.root.": drop}, lab.Zone{Name: ".", Servers: []string{"a.root."}})
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	found := FromOutside(t.Context(), r, "example.org.")
	if z := found.Zones[0]; !strings.Contains(z.Error, "no server answers this machine") || found.ExitCode() != 2 {
		t.Errorf("%s, exit %d", z.Error, found.ExitCode())
	}
}

// What can be known from outside, of zones right and wrong.
func TestOutside(t *testing.T) {
	t.Parallel()
	l := lab.New(t, map[string]lab.Hook{
		"ns2.differs.test.": with(dns.TypeDNSKEY, func(_ dns.Question, m *dns.Msg) { m.Answer = nil }),
		"ns1.silent.test.":  func(_ string, _ dns.Question, m *dns.Msg) *dns.Msg { m.Rcode = dns.RcodeServerFailure; return m },
		"ns1.dead.test.":    refuses, "ns2.dead.test.": refuses,
		"ns1.leaves.test.": with(dns.TypeCDS, func(q dns.Question, m *dns.Msg) {
			m.Ns = nil
			m.Answer = []dns.RR{&dns.CDS{DS: dns.DS{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCDS, Class: dns.ClassINET, Ttl: 60}, Digest: "00"}}}
		}),
	},
		lab.Zone{Name: "test.", Servers: []string{"a.nic.test."}},
		lab.Zone{Name: "right.test.", Servers: []string{"ns1.right.test.", "ns2.right.test."}},
		lab.Zone{Name: "unsigned.test.", Servers: []string{"ns1.unsigned.test."}, Unsigned: true},
		lab.Zone{Name: "early.test.", Servers: []string{"ns1.early.test."}, NoDS: true},
		lab.Zone{Name: "orphan.test.", Servers: []string{"ns1.orphan.test."}, DS: func(ds *dns.DS) { ds.Digest = strings.Repeat("0", 64) }},
		lab.Zone{Name: "differs.test.", Servers: []string{"ns1.differs.test.", "ns2.differs.test."}},
		lab.Zone{Name: "silent.test.", Servers: []string{"ns1.silent.test.", "ns2.silent.test."}},
		lab.Zone{Name: "dead.test.", Servers: []string{"ns1.dead.test.", "ns2.dead.test."}},
		lab.Zone{Name: "leaves.test.", Servers: []string{"ns1.leaves.test."}},
		lab.Zone{Name: "six.test.", Servers: []string{"ns1.six.test.", "v6.six.test."}},
	)
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, NoIPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	schema := compile(t)
	for zone, c := range map[string]struct {
		status   Status
		inDS     Seen
		problems []string
		err      string
		code     int
	}{
		"right.test.":     {Signed, Everywhere, nil, "", 0},
		"test.":           {Signed, Everywhere, nil, "", 0},
		"unsigned.test.":  {Insecure, "", nil, "", 0},
		"early.test.":     {Signed, Nowhere, nil, "", 0},
		"orphan.test.":    {Signed, Nowhere, []string{string(keyroll.Orphaned), "bogus"}, "", 1},
		"differs.test.":   {Signed, Everywhere, []string{"servers-differ"}, "", 1},
		"silent.test.":    {Signed, Everywhere, []string{"dnskey-not-answered"}, "", 1},
		"dead.test.":      {Unknown, "", []string{"dnskey-not-answered"}, "could not be determined", 1},
		"leaves.test.":    {GoingInsecure, Everywhere, nil, "", 0},
		"six.test.":       {Signed, Everywhere, nil, "", 0}, // one server has IPv6 alone, and this machine has none
		"www.right.test.": {Unknown, "", nil, "a name in the zone right.test", 2},
	} {
		found := FromOutside(t.Context(), r, zone)
		checkJSON(t, schema, found)
		z := found.Zones[0]
		if text, err := json.Marshal(found); err != nil || regexp.MustCompile(`\bhere\b`).Match(text) {
			t.Errorf("%v: it speaks of here: %s", err, text)
		}
		var codes []string
		for _, a := range z.Problems {
			codes = append(codes, a.Code)
		}
		if z.Status != c.status || !slices.Equal(codes, c.problems) || !strings.Contains(z.Error, c.err) || found.ExitCode() != c.code {
			t.Errorf("%s: %s, %q, %q, exit %d", zone, z.Status, codes, z.Error, found.ExitCode())
		}
		if c.inDS == "" {
			continue
		}
		key := z.Keys[0]
		if len(z.Keys) != 1 || key.Role != "CSK" || key.InDS != c.inDS || !key.InDNSKEY || !key.SignsDNSKEY || !key.SignsData || key.State != "" {
			t.Errorf("%s: %+v", zone, z.Keys)
		}
		if c.inDS == Everywhere && key.Key.Tag != l.DS(zone).KeyTag {
			t.Errorf("%s: %v is not the key of %v", zone, key.Key, l.DS(zone))
		}
		var out bytes.Buffer
		if err := found.WriteText(&out, false, 80); err != nil || !strings.Contains(out.String(), key.Key.String()) {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
}
