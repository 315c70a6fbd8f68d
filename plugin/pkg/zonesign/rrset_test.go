package zonesign

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

func TestNewRRset(t *testing.T) {
	t.Parallel()
	set := newRRset(t,
		`WWW.Example.org. 600 IN CAA 0 issue "b.example"`,
		`www.example.org. 600 IN CAA 0 issue "a.example"`,
		`www.example.org. 600 IN CAA 0 issue "b.example"`)
	if set.Owner != "www.example.org." || set.Type != dns.TypeCAA || set.TTL != 600 {
		t.Errorf("owner, type, TTL: %+v", set)
	}
	if len(set.RDATA) != 2 || bytes.Compare(set.RDATA[0], set.RDATA[1]) >= 0 {
		t.Errorf("RFC 4034 6.3: RDATA %q, want two in order, without the duplicate", set.RDATA)
	}
	if want := "\x00\x05issuea.example"; string(set.RDATA[0]) != want {
		t.Errorf("RDATA %q, want %q", set.RDATA[0], want)
	}
}

// RFC 2181 5.2: an RRset has one TTL, and where the data have several the lowest counts.
func TestNewRRsetTakesTheLowestTTL(t *testing.T) {
	t.Parallel()
	if set := newRRset(t, "a.org. 60 IN A 192.0.2.1", "a.org. 30 IN A 192.0.2.2", "a.org. 90 IN A 192.0.2.3"); set.TTL != 30 {
		t.Errorf("TTL %d, want 30", set.TTL)
	}
}

func TestNewRRsetRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, says string
		lines      []string
	}{
		{"nothing", "at least one", nil},
		{"two owners", "one owner", []string{"a.org. 1 IN A 192.0.2.1", "b.org. 1 IN A 192.0.2.1"}},
		{"two types", "one type", []string{"a.org. 1 IN A 192.0.2.1", "a.org. 1 IN AAAA 2001:db8::1"}},
		{"class CH", "only IN", []string{`version.bind. 0 CH TXT "1"`}},
	} {
		_, err := NewRRset(parseRRs(t, c.lines...)...)
		wantError(t, err, c.says)
	}
}

// Names inside RDATA are lowered for the types of RFC 4034 6.2 as RFC 6840 5.1 leaves them, and for no
// others. miekg/dns lowers the same when it verifies, which TestSignatureOverEveryType relies on.
func TestNamesInRDATA(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line  string
		lower bool
	}{
		{"a.example.org. 1 IN NS NS.Example.", true},
		{"a.example.org. 1 IN CNAME NS.Example.", true},
		{"a.example.org. 1 IN DNAME NS.Example.", true},
		{"a.example.org. 1 IN PTR NS.Example.", true},
		{"a.example.org. 1 IN MB NS.Example.", true},
		{"a.example.org. 1 IN MG NS.Example.", true},
		{"a.example.org. 1 IN MR NS.Example.", true},
		{"a.example.org. 1 IN MINFO NS.Example. MX.Example.", true},
		{"a.example.org. 1 IN SOA NS.Example. Host.Example. 1 2 3 4 5", true},
		{"a.example.org. 1 IN RP Mbox.Example. Txt.Example.", true},
		{"a.example.org. 1 IN MX 10 MX.Example.", true},
		{"a.example.org. 1 IN AFSDB 1 NS.Example.", true},
		{"a.example.org. 1 IN RT 1 NS.Example.", true},
		{"a.example.org. 1 IN KX 1 NS.Example.", true},
		{"a.example.org. 1 IN PX 1 A.Example. B.Example.", true},
		{"a.example.org. 1 IN SRV 1 2 443 NS.Example.", true},
		{`a.example.org. 1 IN NAPTR 1 2 "S" "SIP" "" NS.Example.`, true}, // only the name: see below
		{"a.example.org. 1 IN HINFO CPU OS", false},
		{"a.example.org. 1 IN SVCB 1 NS.Example.", false},
		{"a.example.org. 1 IN HTTPS 1 NS.Example. alpn=h2", false},
		{`a.example.org. 1 IN TXT "NS.Example."`, false},
		{`a.example.org. 1 IN CAA 0 iodef "mailto:Pki@Example.org"`, false},
		{"a.example.org. 1 IN NSEC NS.Example. A", false},
	} {
		rdata := newRRset(t, c.line).RDATA[0]
		if got := !bytes.Contains(rdata, []byte("Example")) && !bytes.Contains(rdata, []byte("CPU")); got != c.lower {
			t.Errorf("%s: %q, want names lowered %v", c.line, rdata, c.lower)
		}
	}
	if rdata := newRRset(t, `a.example.org. 1 IN NAPTR 1 2 "S" "SIP" "" NS.Example.`).RDATA[0]; !bytes.Contains(rdata, []byte("\x01S\x03SIP")) {
		t.Errorf("NAPTR's strings are no names: %q", rdata)
	}
}

func TestLowerNamesOfShortRDATA(t *testing.T) {
	t.Parallel()
	for rrtype, l := range rdataNames {
		for n := range 24 {
			rdata := bytes.Repeat([]byte{'A'}, n)
			lowerNames(rdata, l) // must not read beyond its end
			if len(rdata) != n {
				t.Errorf("%s", dns.Type(rrtype))
			}
		}
	}
}

func TestLongNamesFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`\001`, 63)
	name := strings.Repeat(long+".", 3) + strings.Repeat(`\001`, 61) + "."
	set := newRRset(t, name+" 1 IN CNAME "+name)
	if len(set.RDATA[0]) != maxName {
		t.Errorf("RDATA of %d octets, want %d", len(set.RDATA[0]), maxName)
	}
}

// Records of a zone's data are handed out to many queries at once: nothing is written into them.
func TestSharedRecords(t *testing.T) {
	t.Parallel()
	shared := parseRRs(t, "www.example.org. 300 IN MX 10 Mail.example.org.")[0]
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				if _, err := NewRRset(shared); err != nil {
					t.Error(err)
				}
				if _, err := AppendRR(nil, shared); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
