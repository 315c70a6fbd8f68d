package issuance

import "testing"

// RFC 8657 4: labels are those of IANA's registry, or begin with `ca-`.
func TestKnownMethod(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]bool{
		"dns-01": true, "http-01": true, "tls-alpn-01": true, "ca-tbr-7": true, "ca-x": true,
		"dns01": false, "DNS-01": false, "dns": false, "tls-sni-01": false, "ca-": false, "ca": false, "ca-X": false, "CA-x": false, "ca-a_b": false, "": false,
		"ca-tbr-22": true, "ca-tbr-": false, "ca-tbr-x": false, "ca-tbr-0": false, "ca-tbr-07": false, "ca-tbr-7a": false, "ca-tbr": true,
	} {
		if KnownMethod(label) != want {
			t.Errorf("KnownMethod(%q) = %t", label, !want)
		}
	}
	for _, label := range Methods() {
		if !KnownMethod(label) || !isLabel(label) {
			t.Errorf("%q is not one", label)
		}
	}
}

// BR 3.2.2.4.8, .18, .19 and .20: "This method is NOT suitable for validating Wildcard Domain Names."
func TestForWildcards(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]bool{
		"dns-01": true, "dns-account-01": true, "dns-persist-01": true, "ca-tbr-7": true, "": true,
		"http-01": false, "tls-alpn-01": false, "ca-tbr-8": false, "ca-tbr-18": false, "ca-tbr-19": false, "ca-tbr-20": false,
	} {
		if ForWildcards(label) != want {
			t.Errorf("ForWildcards(%q) = %t", label, !want)
		}
	}
}

// A slip is distinguished from a label that nobody knows.
func TestMeantMethod(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{
		"dns01": "dns-01", "DNS-01": "dns-01", "dns_01": "dns-01", "dns": "dns-01", "htpt-01": "http-01", "tls-alpn": "tls-alpn-01", "CA-TBR-7": "ca-tbr-7",
		"dns-01": "", "ca-own": "", "telepathy-01": "", "": "",
	} {
		if got := MeantMethod(label); got != want {
			t.Errorf("MeantMethod(%q) = %q, want %q", label, got, want)
		}
	}
}
