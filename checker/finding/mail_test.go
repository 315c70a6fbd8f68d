package finding

import (
	"slices"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// RFC 6068 2.
func TestMailAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tag, value string
		domains    []string
	}{
		{"iodef", "mailto:a@b.example", []string{"b.example."}},
		{"IODEF", "MailTo:a@B.example", []string{"b.example."}},
		{"iodef", "mailto:a@b.example,c@d.example", []string{"b.example.", "d.example."}},
		{"iodef", "mailto:a%40b@c.example?subject=x", []string{"c.example."}},
		{"iodef", "mailto:%22a%40b%22%40c.example", []string{"c.example."}},
		{"iodef", "mailto:?to=a@b.example,c@d.example", []string{"b.example.", "d.example."}},
		{"iodef", "mailto:a@[192.0.2.1]", nil},
		{"iodef", "mailto:a@b%C3%BC.example", nil},
		{"iodef", "mailto:nobody", nil},
		{"iodef", "https://a@b.example/", nil},
		{"contactemail", "a@b.example", []string{"b.example."}},
		{"issue", "mailto:a@b.example", nil},
	} {
		var got []string
		for _, address := range mailAddresses(issuance.Property{Tag: tt.tag, Value: tt.value}) {
			if domain, ok := mailDomain(address); ok {
				got = append(got, domain)
			}
		}
		if !slices.Equal(got, tt.domains) {
			t.Errorf("%s %q: %v, want %v", tt.tag, tt.value, got, tt.domains)
		}
	}
}
