package issuance

import "testing"

// RFC 8657 4: labels are those of IANA's registry, or begin with `ca-`.
func TestKnownMethod(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]bool{
		"dns-01": true, "http-01": true, "tls-alpn-01": true, "ca-tbr-7": true, "ca-x": true,
		"dns01": false, "DNS-01": false, "dns": false, "tls-sni-01": false, "ca-": false, "ca": false, "ca-X": false, "CA-x": false, "ca-a_b": false, "": false,
	} {
		if KnownMethod(label) != want {
			t.Errorf("KnownMethod(%q) = %t", label, !want)
		}
	}
	for _, label := range Methods() {
		if !KnownMethod(label) || !isLabel(label) {
			t.Errorf("%q is none", label)
		}
	}
}
