package subject

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"example.org": "example.org", "Example.ORG.": "example.org", "*.dev.example.org": "*.dev.example.org", " example.org\t": "example.org",
		"bücher.example": "xn--bcher-kva.example", "*.bücher.example": "*.xn--bcher-kva.example", "_dmarc.example.org": "_dmarc.example.org", "pki@example.org": "example.org",
	} {
		if got, err := Parse(text); err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is empty", ".": "not a domain name", "192.0.2.1": "IP address", "2001:db8::1": "IP address", "[2001:db8::1]": "IP address", "192.0.2.1:53": "IP address",
		"https://www.example.org/x": "write the host alone, www.example.org", "example.org/x": "a path", "example.org:443": "a port",
		"a..b": "not a domain name", "a b": "not a domain name", "*.*.example.org": "not a domain name", "x*.example.org": "not a domain name",
		strings.Repeat("a", 64) + ".org": "1 to 63", strings.Repeat("a.", 127) + "aa": "at most 253", "xn--\xff": "domain name",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	got, err := List(strings.NewReader("# our names\nexample.org\n\n*.example.net # a wildcard\n"), "names.txt")
	if err != nil || len(got) != 2 || got[1].String() != "*.example.net" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := List(strings.NewReader("example.org\nhttps://x.example\n"), "names.txt"); err == nil || !strings.HasPrefix(err.Error(), "names.txt:2: ") {
		t.Errorf("got %v", err)
	}
	if _, err := List(strings.NewReader("# nothing\n"), "names.txt"); err == nil {
		t.Error("an empty list was accepted")
	}
}
