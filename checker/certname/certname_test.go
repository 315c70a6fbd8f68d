package certname

import (
	"bufio"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"example.org": "example.org", "Example.ORG.": "example.org", "*.dev.example.org": "*.dev.example.org", " example.org\t": "example.org",
		"bücher.example": "xn--bcher-kva.example", "*.bücher.example": "*.xn--bcher-kva.example", "_dmarc.example.org": "_dmarc.example.org",
		"XN--bcher-kva.example": "xn--bcher-kva.example", "xn--i-7iq.example": "xn--i-7iq.example", "a--b.example": "a--b.example", "r4---sn.example": "r4---sn.example",
		"2.0.192.in-addr.arpa": "2.0.192.in-addr.arpa", "0x7f.example": "0x7f.example", "test": "test", "*.test": "*.test", "xn--p1ai": "xn--p1ai",
	} {
		if got, err := Parse(text); err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is empty", ".": "not a domain name", "192.0.2.1": "IP address", "2001:db8::1": "IP address", "[2001:db8::1]": "IP address", "192.0.2.1:53": "IP address",
		"192.0.2.1.": "IP address", "0x7f.1": "IP address", "1.2.3.4.5": "IP address", "127.0x1": "IP address", "１９２.0.2.1": "IP address", "*.192.0.2.1": "IP address", // RFC 3696 2
		"https://www.example.org/x": "write only the host, www.example.org", "https://me@example.org/": "is a URL", "example.org/x": "a path", "example.org:443": "a port",
		"pki@example.org": "write its domain, example.org", "@example.org": "mail address",
		"a..b": "not a domain name", "a b": "not a domain name", "*.*.example.org": "not a domain name", "x*.example.org": "not a domain name",
		strings.Repeat("a", 64) + ".org": "1 to 63", strings.Repeat("a.", 127) + "aa": "at most 253", "xn--\xff": "domain name",
		"-foo.example.org": "hyphen", "foo-.example.org": "hyphen", "example.-org": "hyphen", // RFC 1123 2.1
		"xn--a.example": "xn--a", "xn--99999999.example": "xn--99999999", "xn--.example": "hyphen", "xn--abc-.example": "hyphen", "xn--1ug.example": "xn--1ug", // RFC 5890 2.3.2.1
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

// BR 7.1.2.7.12: labels of names in TLS certificates are P-Labels or Non-Reserved LDH Labels. RFC 9495 4:
// those in S/MIME certificates are mail addresses'.
func TestParseFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		kind issuance.CertificateType
		want string
		err  string
	}{
		{"www.example.org", issuance.TLS, "www.example.org", ""},
		{"*.xn--bcher-kva.example", issuance.TLS, "*.xn--bcher-kva.example", ""},
		{"a-b--c.example", issuance.TLS, "a-b--c.example", ""},
		{"a_b.example.org", issuance.TLS, "", "underscore"},
		{"*._x.example.org", issuance.TLS, "", "underscore"},
		{"ab--c.example.org", issuance.TLS, "", "reserved"},
		{"pki@example.org", issuance.TLS, "", "mail address"},
		{"pki@example.org", issuance.SMIME, "example.org", ""},
		{"\"a@b\"@bücher.example", issuance.SMIME, "xn--bcher-kva.example", ""},
		{"example.org", issuance.SMIME, "example.org", ""},
		{"@example.org", issuance.SMIME, "", "mail address"},
		{"pki@192.0.2.1", issuance.SMIME, "", "IP address"},
		{"*.example.org", issuance.SMIME, "", "wildcard"},
		{"default._bimi.example.org", issuance.VMC, "default._bimi.example.org", ""}, // Minimum Security Requirements for Issuance of Mark Certificates
		{"pki@example.org", issuance.VMC, "", "mail address"},
	}
	for _, tt := range tests {
		got, err := ParseFor(tt.text, tt.kind)
		if (err == nil) != (tt.err == "") || err == nil && got.String() != tt.want || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("ParseFor(%q, %v) = %q, %v; want %q, %q", tt.text, tt.kind, got, err, tt.want, tt.err)
		}
	}
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"test": true, "*.test.": true, "a.test": false} {
		if s, err := Parse(text); err != nil || s.TopLevel() != want {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
}

func TestUnique(t *testing.T) {
	t.Parallel()
	a, wild, b := Name{Domain: "a.test."}, Name{Domain: "a.test.", Wildcard: true}, Name{Domain: "b.test."}
	if got := Unique([]Name{b, a, wild, b, a}); len(got) != 3 || got[0] != b || got[1] != a || got[2] != wild {
		t.Errorf("got %v", got)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	got, err := List(strings.NewReader("# our names\nexample.org\n\n*.example.net # a wildcard\n"), "names.txt", Parse)
	if err != nil || len(got) != 2 || got[1].String() != "*.example.net" {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"example.org\nhttps://x.example\n": "names.txt:2: ",
		"# nothing\n":                      "names.txt has no names",
		"example.org\n" + strings.Repeat("x", bufio.MaxScanTokenSize+1): "names.txt:2: the line is longer than 65536 octets",
	} {
		if _, err := List(strings.NewReader(text), "names.txt", Parse); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
