package dnsname

import (
	"errors"
	"strings"
	"testing"
)

// The table of RFC 6672 2.2, and its limits.
func TestSubstitute(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(label63+".", 3) // of 193 octets with the root
	for _, c := range []struct {
		name, owner, target, want string
		err                       error
	}{
		{"com.", "example.com.", "example.net.", "", ErrNoMatch},
		{"example.com.", "example.com.", "example.net.", "", ErrNoMatch}, // 2.3: the owner itself is not redirected
		{"a.example.com.", "example.com.", "example.net.", "a.example.net.", nil},
		{"a.b.example.com.", "example.com.", "example.net.", "a.b.example.net.", nil},
		{"ab.example.com.", "b.example.com.", "example.net.", "", ErrNoMatch},
		{"foo.example.com.", "example.com.", "example.net.", "foo.example.net.", nil},
		{"a.x.example.com.", "x.example.com.", "example.net.", "a.example.net.", nil},
		{"a.example.com.", "example.com.", "y.example.net.", "a.y.example.net.", nil},
		{"cyc.example.com.", "example.com.", "example.com.", "cyc.example.com.", nil},
		{"cyc.example.com.", "example.com.", "c.example.com.", "cyc.c.example.com.", nil},
		{"shortloop.x.x.", "x.", ".", "shortloop.x.", nil},
		{"shortloop.x.", "x.", ".", "shortloop.", nil},

		{"a.b.", ".", "example.", "a.b.example.", nil},
		{"a.b.", ".", ".", "a.b.", nil},
		{"A.Example.Com.", "eXample.cOm.", "Example.NET.", "A.Example.NET.", nil}, // RFC 4343: the case stays
		{`a\.b.example.com.`, "example.com.", "example.net.", `a\.b.example.net.`, nil},
		{`a\.example.com.`, "example.com.", "example.net.", "", ErrNoMatch},
		{strings.Repeat("b", 61) + ".x.", "x.", long, strings.Repeat("b", 61) + "." + long, nil}, // 255 octets
		{strings.Repeat("b", 62) + ".x.", "x.", long, "", ErrTooLong},
		{strings.Repeat("b", 63) + ".x.", "x.", long, "", ErrTooLong},
	} {
		if got, err := Substitute(c.name, c.owner, c.target); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s, %s DNAME %s: %s, %v; want %s, %v", c.name, c.owner, c.target, got, err, c.want, c.err)
		}
	}
}
