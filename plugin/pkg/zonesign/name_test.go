package zonesign

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var label63 = strings.Repeat("a", 63)

func TestAppendName(t *testing.T) {
	t.Parallel()
	name255 := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61) + "."
	for _, c := range []struct{ what, name, want string }{
		{"the root", ".", "\x00"},
		{"RFC 4034 6.2: lower case", "WWW.Example.ORG.", "\x03www\x07example\x03org\x00"},
		{"RFC 1035 5.1: an escaped dot is in the label", `a\.b.org.`, "\x03a.b\x03org\x00"},
		{"an escaped backslash", `a\\.org.`, "\x02a\\\x03org\x00"},
		{"an octet as three digits", `\000\255.`, "\x02\x00\xff\x00"},
		{"a capital as three digits is lowered like any other", `\065.`, "\x01a\x00"},
		{"a wildcard", "*.org.", "\x01*\x03org\x00"},
		{"a label of 63 octets", label63 + ".", "\x3f" + label63 + "\x00"},
		{"a name of 255 octets", name255, strings.Repeat("\x3f"+label63, 3) + "\x3d" + strings.Repeat("b", 61) + "\x00"},
	} {
		got, err := AppendName([]byte("before"), c.name)
		if err != nil || string(got) != "before"+c.want {
			t.Errorf("%s: %q = %q, %v; want %q", c.what, c.name, got, err, c.want)
		}
	}
}

func TestAppendNameRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, says string }{
		{"", "does not end in a dot"},
		{"org", "does not end in a dot"},
		{`org\.`, "does not end in a dot"},
		{"a..org.", "empty label"},
		{".org.", "empty label"},
		{"..", "empty label"},
		{label63 + "a.", "63 octets"},
		{strings.Repeat(label63+".", 3) + strings.Repeat("b", 62) + ".", "255 octets"},
		{`a\`, "escape"},
		{`\256.`, "escape"},
		{`\12.`, "escape"},
		{`\1a2.`, "escape"},
	} {
		got, err := AppendName([]byte("before"), c.name)
		wantError(t, err, c.says)
		if string(got) != "before" {
			t.Errorf("%q: left %q behind", c.name, got)
		}
	}
}

func TestRRSIGLabels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		owner string
		want  uint8
	}{
		{".", 0}, {"org.", 1}, {"example.org.", 2}, {"www.example.org.", 3},
		{"*.example.org.", 2}, {"*.", 0}, {"a.*.example.org.", 4}, {"**.example.org.", 3}, {`\042.example.org.`, 2},
		{`a\.b.example.org.`, 3},
	} {
		wire, err := OwnerWire(c.owner)
		if err != nil {
			t.Fatal(err)
		}
		if got := rrsigLabels(wire); got != c.want {
			t.Errorf("RFC 4034 3.1.3: %s has %d labels, want %d", c.owner, got, c.want)
		}
	}
}

func TestAtOrBelow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone string
		want       bool
	}{
		{"example.org.", "example.org.", true},
		{"a.example.org.", "example.org.", true},
		{"a.b.example.org.", "example.org.", true},
		{"a.example.org.", ".", true},
		{"org.", "example.org.", false},
		{"badexample.org.", "example.org.", false},
		{`a\007example\003org.`, "example.org.", false}, // ends in the zone's octets, but inside a label
		{"example.net.", "example.org.", false},
	} {
		name, _ := OwnerWire(c.name)
		apex, _ := OwnerWire(c.zone)
		if got := atOrBelow(name, apex); got != c.want {
			t.Errorf("%s at or below %s: %v, want %v", c.name, c.zone, got, c.want)
		}
	}
}

// FuzzAppendName compares with miekg/dns, which is written independently.
func FuzzAppendName(f *testing.F) {
	for _, name := range []string{".", "", "example.org.", `a\.b.`, `\000.`, `\256.`, `\`, "a..b.", label63 + ".", label63 + "a.", "WWW.", strings.Repeat("a.", 128)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		wire, err := AppendName(nil, name)
		if err != nil {
			return
		}
		if end := nameEnd(wire); end != len(wire) {
			t.Fatalf("%q: %x is no wire name", name, wire)
		}
		text, _, err := dns.UnpackDomainName(wire, 0)
		if err != nil {
			t.Fatalf("%q: %x: %v", name, wire, err)
		}
		if text != dns.CanonicalName(text) {
			t.Errorf("%q: %q is not in lower case", name, text)
		}
		var buf [300]byte
		if end, err := dns.PackDomainName(text, buf[:], 0, nil, false); err != nil || !bytes.Equal(buf[:end], wire) {
			t.Errorf("%q: %x, and from its own text %x (%v)", name, wire, buf[:end], err)
		}
		if end, err := dns.PackDomainName(name, buf[:], 0, nil, false); err == nil && !bytes.EqualFold(buf[:end], wire) {
			t.Errorf("%q: %x, miekg/dns has %x", name, wire, buf[:end])
		}
	})
}
