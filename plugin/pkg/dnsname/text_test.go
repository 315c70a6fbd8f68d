package dnsname

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"example.org": "example.org.", "Example.ORG.": "example.org.", ".": ".", "_dmarc.example.org": "_dmarc.example.org.", "a--b.example": "a--b.example.",
		"b\u00fccher.example": "xn--bcher-kva.example.", "B\u00dcCHER.example": "xn--bcher-kva.example.", "XN--bcher-kva.example": "xn--bcher-kva.example.",
		"stra\u00dfe.example": "xn--strae-oqa.example.", "example\u3002org": "example.org.", "\uff37\uff37\uff37.example": "www.example.", // UTS 46: not transitional; dots and widths
		name255: name255,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "labels have letters", "example org": "labels have letters", "*.example.org": "labels have letters", `a\.b`: "labels have letters", "xn--\xff": "domain name",
		"\u00ad": "domain name", "a\u200d.example": "not an internationalised domain name", // RFC 5892 A.2: a joiner without its context
		"a..b": "1 to 63 octets", ".a": "1 to 63 octets", label63 + "a": "1 to 63 octets", name256: "at most 253", strings.Repeat("\u00fc", 1000): "at most 253",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %q, %v; want an error with %q", text, got, err, want)
		}
	}
}

// U-labels of several scripts come back from their A-labels (RFC 5891 4, 5).
func TestALabelsRoundTrip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	for _, alphabet := range []string{"abc\u00e4\u00f6\u00fc\u00df\u00e9", "\u03b1\u03b2\u03b3\u03c2", "\u0431\u0432\u0433", "\u65e5\u672c\u8a9e", "\u05d0\u05d1\u05d2"} {
		letters := []rune(alphabet)
		for range 200 {
			label := make([]rune, 1+random.IntN(12))
			for i := range label {
				label[i] = letters[random.IntN(len(letters))]
			}
			text := string(label)
			name, err := Parse(text + ".example")
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			first := dns.SplitDomainName(name)[0]
			if back, err := reading.ToUnicode(first); err != nil || back != text {
				t.Fatalf("%q: %s, and back %q, %v", text, first, back, err)
			}
			if strings.HasPrefix(first, ACEPrefix) != strings.ContainsFunc(text, beyondASCII) || strings.HasPrefix(first, ACEPrefix) && !IsALabel(first) {
				t.Fatalf("%q: %s is not its A-label", text, first)
			}
			if again, err := Parse(name); err != nil || again != name {
				t.Fatalf("%q: %s, and again %s, %v", text, name, again, err)
			}
		}
	}
}

func TestIsALabel(t *testing.T) { // RFC 5890 2.3.2.1
	t.Parallel()
	for label, want := range map[string]bool{
		"xn--bcher-kva": true, "xn--p1ai": true, "xn--i-7iq": true,
		"xn--a": false, "xn--99999999": false, "xn--": false, "xn--abc-": false, "xn--1ug": false,
	} {
		if got := IsALabel(label); got != want {
			t.Errorf("IsALabel(%s) = %v", label, got)
		}
	}
}

// FuzzParse reads names as policies and command lines have them.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", ".", "Example.org", "b\u00fccher.example", "xn--bcher-kva", "xn--\xff", "\u00ad", "a\u3002b", "\u05d01", "a\u200d", name255, strings.Repeat("\u00fc", 400)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := Parse(text)
		if err != nil {
			if name != "" || strings.HasPrefix(err.Error(), " ") {
				t.Errorf("%q: %q and %v", text, name, err)
			}
			return
		}
		if canonical, ok := Canonical(name); !ok || canonical != name || strings.Contains(name, `\`) {
			t.Errorf("%q: %q is not canonical", text, name)
		}
		if again, err := Parse(Bare(name)); err != nil || again != name {
			t.Errorf("%q: %q, and again %q, %v", text, name, again, err)
		}
		if wire, _, err := dns.UnpackDomainName(packed(t, name), 0); err != nil || wire != name {
			t.Errorf("%q: %q, and from the wire %q, %v", text, name, wire, err)
		}
	})
}

func TestBare(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		".": ".", "": "", "org": "org", "www.example.org.": "www.example.org", "*.org.": "*.org",
		`a\.b.org.`: `a\.b.org`, `a\\.`: `a\\`, `a\.`: `a\.`, `\195\188.org.`: `\195\188.org`, `a\ b.`: `a\ b`,
		"\u00fc.org.": `\195\188.org`, "\x1b[2J.": `\027[2J`, "\\\x07.": `\007`, "a\n.": `a\010`, "\u202e.": `\226\128\174`, `a\`: `a\`,
	} {
		if got := Bare(name); got != want {
			t.Errorf("Bare(%q) = %q, want %q", name, got, want)
		}
	}
}
