package overlay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A next plugin may answer one type of a name as if it knew no other: etcd and kubernetes show an alias only to
// questions for an address, template and etcd answer NXDOMAIN to a type that they have no rule for, and behind forward
// and grpc may be any of them. Or several plugins share the names of a zone, and each denies what it does not hold.
// This file has such backends, and for each what its data are, read as one zone: a name is an alias for all types or for
// none (RFC 1034 3.6.2, 4.3.2), and exists for all types or for none (RFC 8020 2).

// byType is a backend that answers by type, or in which plugins share the names of a zone.
type byType struct {
	label string // of the names of its zones
	full  bool   // it needs the plugins that the lean server lacks
	// truth is the data as every resolver must believe them, a zone file without $ORIGIN. Beside them are the policy's
	// CAA. A cut has a zone of its own on the same server, with the data of childZone.
	truth string
	// absent are further names to ask for, which have no records but the policy's CAA.
	absent string
	// keys are what etcd has for a zone, by the path below the zone's; nil for nothing.
	keys map[string]string
	// lines are those of a server block with these zones.
	lines func(s *stores, zones []*typeZone) string
}

// stores are what the backends read their data from.
type stores struct {
	files            map[string]string // of CoreDNS's folder
	etcd, kubernetes string            // addresses
}

const (
	letsEncrypt = `CAA 0 issue "letsencrypt.org"`
	digiCert    = `CAA 0 issue "digicert.com"`
)

// digiCertAt are the names for which the policy has another issuer than for the rest of each zone: targets of aliases,
// and a name that no data have.
var digiCertAt = []string{"web", "web.default.svc", "new"}

const (
	apexData = "@ 300 SOA ns h 1 7200 3600 1209600 60\n@ 300 NS ns\nns 300 A 127.0.0.1\n"

	// plainData are one of each kind of name.
	plainData = `@ MX 10 web
web A 192.0.2.80
addr A 192.0.2.1
two A 192.0.2.2
two TXT "two"
v6 AAAA 2001:db8::1
txt TXT "alone"
alias CNAME web
out CNAME www.outside.test.
nothing CNAME nowhere
a.b.ent A 192.0.2.3
cut NS ns.cut
ns.cut A 127.0.0.1
scut NS ns.scut
ns.scut A 127.0.0.1
`
	// wildData are what a zone file holds, whose reading by name is wildTruth.
	wildData = `*.wild A 192.0.2.4
*.wildalias CNAME web
d DNAME ent
`
	wildTruth = `q.wild A 192.0.2.4
q.wildalias CNAME web
d DNAME ent
b.d CNAME b.ent
a.b.d CNAME a.b.ent
`
	plainAbsent = "new nope below.addr ent b.ent wild wildalias nope.ent"

	// childZone is each zone below a cut.
	childZone = `@ 60 SOA ns h 1 7200 3600 1209600 60
@ 60 NS ns
ns 60 A 127.0.0.1
www 60 A 192.0.2.77
www 60 CAA 0 issue "of.the.child.example"
`
)

// plainTruth is a zone in a file.
const plainTruth = apexData + plainData + wildTruth

var byTypes = []byType{
	{label: "template", truth: plainTruth + templateTruth, absent: plainAbsent + " below.talias twild", lines: func(s *stores, zones []*typeZone) string {
		return templateRules + s.file(zones, apexData+plainData+wildData+"x.aalias A 192.0.2.15\nx.qalias A 192.0.2.16\n")
	}},
	{label: "hosts", truth: "@ SOA ns h 1 1 1 1 1\n@ A 192.0.2.9\nweb A 192.0.2.80\naddr A 192.0.2.1\nv6 AAAA 2001:db8::1\ntwo A 192.0.2.2\ntwo AAAA 2001:db8::2\n", lines: func(_ *stores, zones []*typeZone) string {
		return hosts(zones, "192.0.2.9 @", "192.0.2.80 web", "192.0.2.1 addr", "2001:db8::1 v6", "192.0.2.2 two", "2001:db8::2 two") + "    }\n"
	}},
	// A name of hosts may be above or below names of the file, or below one that neither knows.
	{label: "hosts-file", truth: plainTruth + "host A 192.0.2.10\nin.file.host TXT \"of the file\"\nx.hent A 192.0.2.11\nx.txt A 192.0.2.12\n", absent: plainAbsent + " hent file.host",
		lines: func(s *stores, zones []*typeZone) string {
			return hosts(zones, "192.0.2.10 host", "192.0.2.11 x.hent", "192.0.2.12 x.txt") + "        fallthrough\n    }\n" +
				s.file(zones, apexData+plainData+wildData+"in.file.host TXT \"of the file\"\n")
		}},
	// file passes on questions about names that it lacks, empty non-terminals among them, and auto denies these.
	{label: "file-auto", truth: plainTruth + "first A 192.0.2.13\nx.fent A 192.0.2.14\nfalias CNAME web\nsecond.first TXT \"of auto\"\n", absent: plainAbsent + " fent nope.fent below.falias",
		lines: func(s *stores, zones []*typeZone) string {
			first := apexData + "first A 192.0.2.13\nx.fent A 192.0.2.14\nfalias CNAME web\nweb A 192.0.2.80\n@ MX 10 web\n"
			for _, z := range zones {
				s.files["auto/db."+strings.TrimSuffix(z.truth.apex, ".")] = z.file(apexData + plainData + wildData + "second.first TXT \"of auto\"\n")
			}
			return s.file(zones, first, "fallthrough") + "    auto " + strings.Join(apices(zones), " ") + " {\n        directory $DIR/auto db\\.(.*) {1}\n    }\n"
		}},
	{label: "etcd", full: true, truth: apexTruth + etcdTruth + etcdApex, absent: etcdAbsent, keys: externalDNS, lines: func(s *stores, zones []*typeZone) string {
		return s.fromEtcd()
	}},
	// The file has the zone, as people write it, and etcd what external-dns adds.
	{label: "file-etcd", full: true, truth: apexTruth + etcdTruth + etcdApex + "first A 192.0.2.13\nx.fent A 192.0.2.14\nfalias CNAME web\n", absent: etcdAbsent + " fent below.falias", keys: externalDNS,
		lines: func(s *stores, zones []*typeZone) string {
			return s.file(zones, apexData+"first A 192.0.2.13\nx.fent A 192.0.2.14\nfalias CNAME web\n", "fallthrough") + s.fromEtcd()
		}},
	{label: "kubernetes", full: true, truth: kubernetesTruth, absent: kubernetesAbsent, lines: func(s *stores, zones []*typeZone) string {
		return "    kubernetes " + strings.Join(apices(zones), " ") + " {\n        endpoint " + s.kubernetes + "\n        pods verified\n    }\n"
	}},
	{label: "kubernetes-file", full: true, truth: kubernetesTruth + plainFileTruth, absent: kubernetesAbsent + " ent", lines: func(s *stores, zones []*typeZone) string {
		return "    kubernetes " + strings.Join(apices(zones), " ") + " {\n        endpoint " + s.kubernetes + "\n        pods verified\n        fallthrough\n    }\n" +
			s.file(zones, apexData+plainFileTruth)
	}},
}

// apexTruth is an apex of which nobody has written what it holds: the test does not look at these.
const apexTruth = "@ SOA ns h 1 1 1 1 1\n@ NS ns\n"

// plainFileTruth are names of a file that kubernetes knows nothing of, or that are beside its own.
const plainFileTruth = `falias CNAME addr.default.svc
x.ent A 192.0.2.3
beside.default.svc TXT "of the file"
`

// templateRules show an alias to some types alone, and deny at one type a name that another has. That aalias and qalias
// exist, if not for which types, shows in the names below them.
const templateRules = `    template IN A {
        match ^(talias|aalias)[.]
        answer "{{ .Name }} 60 IN CNAME web.{{ .Zone }}"
        answer "web.{{ .Zone }} 60 IN A 192.0.2.80"
        fallthrough
    }
    template IN AAAA {
        match ^(talias|qalias)[.]
        answer "{{ .Name }} 60 IN CNAME web.{{ .Zone }}"
        fallthrough
    }
    template IN CNAME {
        match ^talias[.]
        answer "{{ .Name }} 60 IN CNAME web.{{ .Zone }}"
        fallthrough
    }
    template IN A {
        match ^(taddr|ttwo)[.] [.]twild[.]
        answer "{{ .Name }} 60 IN A 192.0.2.1"
        fallthrough
    }
    template IN TXT {
        match ^(ttxt|ttwo)[.]
        answer "{{ .Name }} 60 IN TXT \"by a rule\""
        fallthrough
    }
    template IN AAAA {
        match ^tv6[.]
        answer "{{ .Name }} 60 IN AAAA 2001:db8::1"
        fallthrough
    }
    template IN HTTPS {
        match ^thttps[.]
        answer "{{ .Name }} 60 IN HTTPS 1 . alpn=h2"
        fallthrough
    }
    template IN DS {
        match ^tcut[.]
        rcode NOERROR
        authority "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} 1 7200 3600 1209600 60"
        fallthrough
    }
    template IN ANY {
        match ^(.*[.])?tcut[.]
        rcode NOERROR
        authority "tcut.{{ .Zone }} 60 IN NS ns.tcut.{{ .Zone }}"
        additional "ns.tcut.{{ .Zone }} 60 IN A 127.0.0.1"
        fallthrough
    }
`

const templateTruth = `talias CNAME web
aalias CNAME web
qalias CNAME web
taddr A 192.0.2.1
ttwo A 192.0.2.1
ttwo TXT "by a rule"
q.twild A 192.0.2.1
p.q.twild A 192.0.2.1
ttxt TXT "by a rule"
tv6 AAAA 2001:db8::1
thttps HTTPS 1 . alpn=h2
tcut NS ns.tcut
ns.tcut A 127.0.0.1
x.aalias A 192.0.2.15
x.qalias A 192.0.2.16
`

const (
	heritage     = `"\"heritage=external-dns,external-dns/owner=default\""`
	heritageText = `,"text":"\"heritage=external-dns,external-dns/owner=default\""`
)

// externalDNS are keys as external-dns writes them: under a hash, with its heritage beside an address or alias, and
// once more under a name of its registry. Some are as people write them, without a hash.
var externalDNS = map[string]string{
	"dns/ns/ns1":          `{"host":"127.0.0.1"}`, // the zone's NS
	"web/0e240612":        `{"host":"192.0.2.80","targetstrip":1}`,
	"addr/2c23e944":       `{"host":"192.0.2.1"` + heritageText + `,"targetstrip":1}`,
	"a-addr/00e24061":     `{"text":"\"heritage=external-dns,external-dns/owner=default\"","targetstrip":1}`,
	"two/11111111":        `{"host":"192.0.2.2","targetstrip":1}`,
	"two/22222222":        `{"text":"two","targetstrip":1}`,
	"many/11111111":       `{"host":"192.0.2.5","targetstrip":1}`,
	"many/22222222":       `{"host":"192.0.2.6","targetstrip":1}`,
	"v6/11111111":         `{"host":"2001:db8::1","targetstrip":1}`,
	"goto/149a1668":       `{"host":"other.example.net"` + heritageText + `,"targetstrip":1}`,
	"cname-goto/3ee06812": `{"text":"\"heritage=external-dns,external-dns/owner=default\"","targetstrip":1}`,
	"alias/149a1668":      `{"host":"web.$ZONE","targetstrip":1}`,
	"alias6/149a1669":     `{"host":"v6.$ZONE","targetstrip":1}`,
	"plain":               `{"host":"web.$ZONE"}`,
	"chain/149a1660":      `{"host":"alias.$ZONE","targetstrip":1}`,
	"out/149a1661":        `{"host":"www.outside.test","targetstrip":1}`,
	"nothing/149a1662":    `{"host":"nowhere.$ZONE","targetstrip":1}`,
	"ent/x/2c23e945":      `{"host":"192.0.2.3","targetstrip":1}`,
	"aent/x/2c23e946":     `{"host":"web.$ZONE","targetstrip":1}`,
	"mixed/11111111":      `{"host":"web.$ZONE","targetstrip":1}`,
	"mixed/22222222":      `{"host":"192.0.2.7","targetstrip":1}`,
}

// etcdTruth is how the plugin reads these. It answers a name with all that is below it, knows an address with a text for
// an address alone, and an alias with a text for a text alone.
const etcdTruth = `dns A 127.0.0.1
ns.dns A 127.0.0.1
ns1.ns.dns A 127.0.0.1
web A 192.0.2.80
addr A 192.0.2.1
2c23e944.addr A 192.0.2.1
a-addr TXT ` + heritage + `
two A 192.0.2.2
two TXT "two"
many A 192.0.2.5
many A 192.0.2.6
v6 AAAA 2001:db8::1
goto TXT ` + heritage + `
cname-goto TXT ` + heritage + `
alias CNAME web
149a1668.alias CNAME web
alias6 CNAME v6
plain CNAME web
chain CNAME alias
out CNAME www.outside.test.
ent A 192.0.2.3
x.ent A 192.0.2.3
aent CNAME web
x.aent CNAME web
mixed CNAME web
`

// etcdApex are the texts of the whole zone, which the plugin shows at the apex.
const etcdApex = "@ TXT " + heritage + "\n@ TXT \"two\"\n"

const etcdAbsent = "new nope below.addr below.alias nothing nope.ent"

func (s *stores) fromEtcd() string {
	return "    etcd {\n        endpoint " + s.etcd + "\n        no_apex_fallback\n    }\n"
}

// file is the plugin's block for each zone, with a file of its own, and what is in its braces.
func (s *stores) file(zones []*typeZone, text string, options ...string) string {
	var b strings.Builder
	for _, z := range zones {
		name := "db." + z.truth.apex
		s.files[name] = z.file(text)
		fmt.Fprintf(&b, "    file $DIR/%s %s {\n        reload 0\n", name, z.truth.apex)
		for _, option := range options {
			fmt.Fprintf(&b, "        %s\n", option)
		}
		b.WriteString("    }\n")
	}
	return b.String()
}

// file is a zone's text, with the DS of the signed zone below its cut.
func (z *typeZone) file(text string) string {
	if strings.Contains(text, "\nscut NS") {
		text += z.ds["scut."+z.truth.apex]
	}
	return "$TTL 60\n" + text
}

// hosts is the plugin's block without its end, with the entries for each zone.
func hosts(zones []*typeZone, entries ...string) string {
	var b strings.Builder
	b.WriteString("    hosts {\n")
	for _, z := range zones {
		for _, entry := range entries {
			address, name, _ := strings.Cut(entry, " ")
			fmt.Fprintf(&b, "        %s %s\n", address, strings.TrimPrefix(name+"."+z.truth.apex, "@."))
		}
	}
	return b.String()
}

// etcdValues are the keys of zones in SkyDNS's form.
func etcdValues(worlds []*typeWorld) map[string]string {
	values := map[string]string{}
	for _, w := range worlds {
		for _, z := range w.zones {
			labels := dns.SplitDomainName(z.truth.apex)
			slices.Reverse(labels)
			for key, value := range w.backend.keys {
				path, bare := "/skydns/"+strings.Join(labels, "/")+"/"+key, strings.TrimSuffix(z.truth.apex, ".")
				values[path] = strings.ReplaceAll(value, "$ZONE", bare)
			}
		}
	}
	return values
}
