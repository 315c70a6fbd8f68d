package stock

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// incidents are faults that CoreDNS's dnssec plugin has, or had, each with the report that names it.
// Every row is asked of both plugins over the same data: ours must not have the fault. For the
// stock plugin the row says whether CoreDNS 1.15.0 still has it; most were fixed once reported,
// which leaves the row as a guard of ours.
var incidents = []struct {
	name   string
	report string // an issue of coredns/coredns, unless it says otherwise
	below  string // the plugins that hold the zone; "": the file plugin with zoneFile
	stock  bool   // CoreDNS 1.15.0 has the fault
	fault  func(t *testing.T, s signer) string
}{
	{name: "a denial of another type denies CAA", report: "RFC 4034 4.1.2", stock: true,
		fault: func(t *testing.T, s signer) string { return s.denies(t, "www.example.org", dns.TypeMX, dns.TypeCAA) }},
	{name: "a denial of another type denies HTTPS", report: "RFC 4034 4.1.2", stock: true,
		fault: func(t *testing.T, s signer) string {
			return s.denies(t, "www.example.org", dns.TypeMX, dns.TypeHTTPS)
		}},
	{name: "a denial of another type denies a type that nobody has assigned", report: "RFC 3597", stock: true,
		fault: func(t *testing.T, s signer) string { return s.denies(t, "www.example.org", dns.TypeMX, 40000) }},
	{name: "a name that does not exist is denied without saying so", report: "RFC 9824 3.2", stock: true,
		fault: func(t *testing.T, s signer) string {
			return s.denies(t, "absent.example.org", dns.TypeMX, dns.TypeNXNAME)
		}},
	{name: "a signature's original TTL is not the data's", report: "RFC 4034 3.1.4", stock: true,
		fault: func(t *testing.T, s signer) string {
			for _, rr := range s.ask(t, "brief.example.org", dns.TypeA).Answer {
				if sig, ok := rr.(*dns.RRSIG); ok && sig.OrigTtl != 60 {
					return sig.String()
				}
			}
			return ""
		}},
	{name: "a name without the type has no NSEC", report: "#1127",
		fault: func(t *testing.T, s signer) string { return s.denies(t, "six.example.org", dns.TypeA) }},
	{name: "the NSEC of a name that does not exist claims the type asked for", report: "#1401",
		fault: func(t *testing.T, s signer) string {
			m := s.ask(t, "_25._tcp.absent.example.org", dns.TypeTLSA)
			if nsec := denial(m); nsec != nil && slices.Contains(nsec.TypeBitMap, dns.TypeTLSA) {
				return nsec.String()
			}
			return ""
		}},
	{name: "a fresh signature is thrown away", report: "#4605",
		fault: func(t *testing.T, s signer) string {
			first, second := s.ask(t, "www.example.org", dns.TypeA), s.ask(t, "www.example.org", dns.TypeA)
			if a, b := world.Texts(first.Answer, dns.TypeRRSIG), world.Texts(second.Answer, dns.TypeRRSIG); !slices.Equal(a, b) {
				return fmt.Sprintf("%v, then %v", a, b)
			}
			return ""
		}},
	{name: "the NSEC of a name in mixed case does not validate", report: "#5061",
		fault: func(t *testing.T, s signer) string { return s.denies(t, "_Valcheck.Z-yyyy.Example.Org", dns.TypeTXT) }},
	{name: "an empty CAA answer in mixed case does not validate", report: "PowerDNS/pdns#5546",
		fault: func(t *testing.T, s signer) string { return s.unsigned(s.ask(t, "wWw.eXample.oRg", dns.TypeSSHFP)) }},
	{name: "a denial without SOA goes out unsigned", report: "#7756", stock: true,
		below: `template ANY ANY example.org {
        match ^six[.]example[.]org[.]$
        rcode NOERROR
    }
    file $DIR/example.org.db example.org`,
		fault: func(t *testing.T, s signer) string { return s.denies(t, "six.example.org", dns.TypeTXT) }},
	{name: "an alias of a name without the type has no NSEC", report: "RFC 4035 3.1.3.1", stock: true,
		fault: func(t *testing.T, s signer) string { return s.denies(t, "alias.example.org", dns.TypeMX) }},
	{name: "an alias's target in another zone is signed", report: "#3891 and #8138",
		below: `file $DIR/example.org.db example.org
    file $DIR/example.net.db example.net`,
		fault: func(t *testing.T, s signer) string {
			m := s.ask(t, "foreign.example.org", dns.TypeA)
			if len(world.Texts(m.Answer, dns.TypeCNAME)) != 1 {
				t.Fatalf("want an alias, got\n%v", m)
			}
			for _, rr := range m.Answer {
				if rr.Header().Rrtype == dns.TypeRRSIG && !dns.IsSubDomain("example.org.", rr.Header().Name) {
					return rr.String()
				}
			}
			return ""
		}},
	{name: "two RRsets of one beginning share a signature", report: "#3953",
		fault: func(t *testing.T, s signer) string {
			return s.unsigned(s.ask(t, "ipcurl._domainkey.example.org", dns.TypeTXT)) +
				s.unsigned(s.ask(t, "ipcurl2._domainkey.example.org", dns.TypeTXT))
		}},
	{name: "old signatures are served after the zone has changed", report: "#4448", fault: changeZone},
	{name: "a referral to an unsigned zone does not prove that it is", report: "#5899",
		fault: func(t *testing.T, s signer) string {
			m := s.ask(t, "www.child.example.org", dns.TypeA)
			nsec := denial(m)
			if nsec == nil || !slices.Contains(nsec.TypeBitMap, dns.TypeNS) || slices.Contains(nsec.TypeBitMap, dns.TypeDS) {
				return "no proof that there is no DS:\n" + m.String()
			}
			return s.unsigned(m)
		}},
}

const foreignZone = `$ORIGIN example.net.
$TTL 3600
@    SOA ns1.example.org. hostmaster.example.org. 1 7200 3600 1209600 300
@    NS  ns1.example.org.
www  A   192.0.2.9
`

const moreNames = `www    HTTPS 1 . alpn=h2
www    TYPE40000 \# 1 00
six    AAAA  2001:db8::6
brief  60 A  192.0.2.3
alias  CNAME six
foreign CNAME www.example.net.
child  NS    ns.child
ns.child A   127.0.0.1
ipcurl._domainkey  TXT "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsame" "one"
ipcurl2._domainkey TXT "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsame" "two"
`

// policy says with our plugin what zoneFile says in its data.
const policy = `version: 1
issuers:
  letsencrypt: {domain: letsencrypt.org}
zones:
  example.org:
    issue: [letsencrypt]
    names:
      www: {issue: none}
`

func TestIncidents(t *testing.T) {
	t.Parallel()
	for _, c := range incidents {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			below := c.below
			if below == "" {
				below = "file $DIR/example.org.db example.org {\n        reload 100ms\n    }"
			}
			for signing, has := range map[string]bool{"dnssec example.org": c.stock, "caa $DIR/policy.yaml example.org": false} {
				if fault := c.fault(t, startSigner(t, signing, below)); (fault != "") != has {
					t.Errorf("%s: %s: the fault is there: %v, want %v\n%s", c.report, signing, fault != "", has, fault)
				}
			}
		})
	}
}

// signer is a server that signs example.org online.
type signer struct {
	*world.Process
	keys []*dns.DNSKEY
}

func startSigner(t *testing.T, signing, below string) signer {
	t.Helper()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"example.org.db": zoneFile + moreNames, "example.net.db": foreignZone, "policy.yaml": policy}
	maps.Copy(files, key.Files)
	s := signer{Process: world.CoreDNS(t, `example.org:$PORT example.net:$PORT {
    bind $ADDR
    `+signing+` {
        key file $DIR/`+key.Name+`
    }
    `+below+`
}
`, files)}
	for _, rr := range s.ask(t, "example.org", dns.TypeDNSKEY).Answer {
		if k, ok := rr.(*dns.DNSKEY); ok {
			s.keys = append(s.keys, k)
		}
	}
	return s
}

func (s signer) ask(t *testing.T, name string, qtype uint16) *dns.Msg {
	t.Helper()
	return world.Ask(t, s.Addr, name, qtype)
}

// denies asks for a type that the name does not have. The fault is an invalid denial, one that does
// not validate, or that denies one of the types that are there, too.
func (s signer) denies(t *testing.T, name string, qtype uint16, there ...uint16) string {
	t.Helper()
	m := s.ask(t, name, qtype)
	nsec := denial(m)
	if nsec == nil {
		return "no NSEC:\n" + m.String()
	}
	for _, rrtype := range there {
		if !slices.Contains(nsec.TypeBitMap, rrtype) {
			return "denies " + dns.TypeToString[rrtype] + ": " + nsec.String()
		}
	}
	return s.unsigned(m)
}

func denial(m *dns.Msg) *dns.NSEC {
	for _, rr := range m.Ns {
		if nsec, ok := rr.(*dns.NSEC); ok {
			return nsec
		}
	}
	return nil
}

// unsigned returns the first RRset of the zone that has no valid signature. The name servers of a
// zone below have none (RFC 4035 2.2).
func (s signer) unsigned(m *dns.Msg) string {
	all := slices.Concat(m.Answer, m.Ns)
	for _, rr := range all {
		h := rr.Header()
		if h.Rrtype == dns.TypeRRSIG || !dns.IsSubDomain("example.org.", h.Name) || dns.IsSubDomain("child.example.org.", h.Name) && h.Rrtype == dns.TypeNS {
			continue
		}
		if !s.signed(h, all) {
			return "no valid signature: " + rr.String() + "\n" + m.String()
		}
	}
	return ""
}

// signed reports whether one of the records is a valid signature of the RRset with this header.
func (s signer) signed(h *dns.RR_Header, records []dns.RR) bool {
	var rrset []dns.RR
	for _, rr := range records {
		if rr.Header().Rrtype == h.Rrtype && strings.EqualFold(rr.Header().Name, h.Name) {
			rrset = append(rrset, rr)
		}
	}
	return slices.ContainsFunc(records, func(rr dns.RR) bool {
		sig, ok := rr.(*dns.RRSIG)
		return ok && sig.TypeCovered == h.Rrtype && strings.EqualFold(sig.Header().Name, h.Name) && sig.ValidityPeriod(time.Now()) &&
			slices.ContainsFunc(s.keys, func(k *dns.DNSKEY) bool { return sig.Verify(k, rrset) == nil })
	})
}

// changeZone has the zone signed, changes it, and asks until the change shows.
func changeZone(t *testing.T, s signer) string {
	t.Helper()
	if fault := s.unsigned(s.ask(t, "example.org", dns.TypeSOA)); fault != "" {
		return fault
	}
	changed := strings.Replace(zoneFile+moreNames, "hostmaster 1 ", "hostmaster 2 ", 1)
	world.WriteFile(t, filepath.Join(s.Dir, "example.org.db"), strings.Replace(changed, "A   192.0.2.1", "A   192.0.2.2", 1))
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		soa, www := s.ask(t, "example.org", dns.TypeSOA), s.ask(t, "www.example.org", dns.TypeA)
		if fault := s.unsigned(soa) + s.unsigned(www); fault != "" {
			return fault
		}
		if strings.Contains(soa.String(), " 2 7200 ") && strings.Contains(www.String(), "192.0.2.2") {
			return ""
		}
	}
	t.Fatal("the changed zone did not show")
	return ""
}
