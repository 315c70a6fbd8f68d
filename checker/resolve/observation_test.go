package resolve

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// What a server says of its answer (RFC 8914) steers no terminal, passes for nothing of ours, and fills no page.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		errors []EDE
		want   string
	}{
		{nil, ""},
		{[]EDE{{dns.ExtendedErrorCodeNetworkError, ""}}, "EDE 23 Network Error"},
		{[]EDE{{dns.ExtendedErrorCodeDNSBogus, "no key"}, {49999, ""}}, `EDE 6 DNSSEC Bogus: "no key"; EDE 49999`},
		{[]EDE{{0, "\x1b[2J\u202e\x00\n\xff\" (fine)"}}, `EDE 0 Other: "\x1b[2J\u202e\x00\n\xff\" (fine)"`},
		{[]EDE{{0, strings.Repeat("ü", 40000)}}, `EDE 0 Other: "` + strings.Repeat("ü", mostWords/2) + `"…`},
		{[]EDE{{0, "x" + strings.Repeat("ü", 40000)}}, `EDE 0 Other: "x` + strings.Repeat("ü", mostWords/2-1) + `"…`},
	} {
		if got := (Observation{Errors: tt.errors}).Words(); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}
