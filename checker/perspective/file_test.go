package perspective

import (
	"reflect"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/regularfile/regularfiletest"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse("p.yaml", []byte(`version: 1
primary: ohio
perspectives:
  - {name: here, kind: self, region: RIPE NCC, coordinates: [50.11, 8.68]}
  - {name: ohio, kind: agent, address: "https://ohio.example/v1/", region: arin, coordinates: [39.96, -83], token: ohio.token, ca: ca.pem, header: x-api-key, code: us-east-2}
  - {name: public, kind: dot, address: 192.0.2.1, region: apnic, coordinates: [1, 103.8], tls_servername: dns.example}
  - {name: doh, kind: doh, address: "https://192.0.2.1/dns-query", region: LACNIC, coordinates: [-23, -46]}
  - {name: doq, kind: doq, address: "[2001:db8::1]:8853", region: ripe, coordinates: [0, 0]}
  - {name: udp, kind: udp, address: "2001:db8::1", region: afrinic, coordinates: [-33.9, 18.4]}
`))
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int) policy.Position { return policy.Position{File: "p.yaml", Line: line, Column: 5} }
	want := &File{Name: "p.yaml", Primary: 1, Specs: []Spec{
		{Name: "here", Kind: Self, Region: quorum.RIPENCC, Place: quorum.Coordinates{Latitude: 50.11, Longitude: 8.68}, Pos: at(4)},
		{Name: "ohio", Kind: Agent, Address: "https://ohio.example/v1/", Region: quorum.ARIN, Place: quorum.Coordinates{Latitude: 39.96, Longitude: -83}, Token: "ohio.token", CA: "ca.pem", Header: "x-api-key", Code: "us-east-2", Pos: at(5)},
		{Name: "public", Kind: DoT, Address: "192.0.2.1:853", Region: quorum.APNIC, Place: quorum.Coordinates{Latitude: 1, Longitude: 103.8}, ServerName: "dns.example", Pos: at(6)},
		{Name: "doh", Kind: DoH, Address: "https://192.0.2.1/dns-query", Region: quorum.LACNIC, Place: quorum.Coordinates{Latitude: -23, Longitude: -46}, Pos: at(7)},
		{Name: "doq", Kind: DoQ, Address: "[2001:db8::1]:8853", Region: quorum.RIPENCC, Pos: at(8)},
		{Name: "udp", Kind: UDP, Address: "[2001:db8::1]:53", Region: quorum.AFRINIC, Place: quorum.Coordinates{Latitude: -33.9, Longitude: 18.4}, Pos: at(9)},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every mistake is reported with its position.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nperspectives:\n"
	const good = "  - {name: a, kind: self, region: ARIN, coordinates: [1, 2]}\n"
	tests := []struct{ name, text, want string }{
		{"empty", "", "p.yaml:1:1: the file is empty"},
		{"no YAML", "version: [", "p.yaml:1:10: this [ is closed nowhere"},
		{"a list", "- 1", "p.yaml:1:1: a perspectives file must be a mapping"},
		{"no version", "perspectives:\n" + good, "p.yaml:1:1: version is missing"},
		{"another version", "version: 2\nperspectives:\n" + good, "p.yaml:1:10: version must be 1"},
		{"no perspectives", "version: 1\n", "p.yaml:1:1: perspectives is missing"},
		{"none", head[:len(head)-1] + " []\n", "p.yaml:2:15: perspectives must be a list of one or more"},
		{"an unknown key", "version: 1\nperspective: []\nperspectives:\n" + good, `p.yaml:2:1: unknown key "perspective" in a perspectives file; did you mean "perspectives"?`},
		{"a key twice", "version: 1\nversion: 1\nperspectives:\n" + good, "p.yaml:2:1: duplicate key \"version\""},
		{"an anchor", head + "  - &a {name: a, kind: self, region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:5: an anchor"},
		{"a perspective that is a text", head + "  - here\n", "p.yaml:3:5: a perspective must be a mapping"},
		{"an unknown key of one", head + "  - {name: a, kind: self, regoin: ARIN, coordinates: [1, 2]}\n", `p.yaml:3:27: unknown key "regoin" in a perspective; did you mean "region"?`},
		{"no region", head + "  - {name: a, kind: self, coordinates: [1, 2]}\n", "p.yaml:3:5: the perspective needs the key region"},
		{"another region", head + "  - {name: a, kind: self, region: EU, coordinates: [1, 2]}\n", `p.yaml:3:35: invalid region "EU": want AFRINIC`},
		{"another kind", head + "  - {name: a, kind: ssh, region: ARIN, coordinates: [1, 2]}\n", `p.yaml:3:21: invalid kind "ssh"`},
		{"a name twice", head + good + good, `p.yaml:4:5: two perspectives are named "a"; the first is in line 3`},
		{"coordinates of three", head + "  - {name: a, kind: self, region: ARIN, coordinates: [1, 2, 3]}\n", "p.yaml:3:54: coordinates must be"},
		{"coordinates of texts", head + "  - {name: a, kind: self, region: ARIN, coordinates: [x, y]}\n", "p.yaml:3:54: coordinates must be"},
		{"a latitude beyond the pole", head + "  - {name: a, kind: self, region: ARIN, coordinates: [91, 2]}\n", "p.yaml:3:54: the latitude"},
		{"NaN", head + "  - {name: a, kind: self, region: ARIN, coordinates: [.nan, 2]}\n", "p.yaml:3:54: the latitude"},
		{"a primary that is not there", "version: 1\nprimary: b\nperspectives:\n" + good, `p.yaml:2:10: primary: no perspective of this file is named "b"`},
		{"self with an address", head + "  - {name: a, kind: self, address: 192.0.2.1, region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:36: a perspective of the kind self does not take an address"},
		{"a resolver without", head + "  - {name: a, kind: udp, region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:5: a perspective of the kind udp needs an address"},
		{"a resolver by name", head + "  - {name: a, kind: udp, address: dns.example, region: ARIN, coordinates: [1, 2]}\n", `p.yaml:3:35: invalid address "dns.example": want an IP address`},
		{"an agent in the clear", head + "  - {name: a, kind: agent, address: \"http://a.example\", region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:37: invalid address \"http://a.example\": want https://"},
		{"an agent with a password", head + "  - {name: a, kind: agent, address: \"https://a:secret@a.example\", region: ARIN, coordinates: [1, 2]}\n", `p.yaml:3:37: invalid address "https://a:xxxxx@a.example": want only`},
		{"a resolver with a token", head + "  - {name: a, kind: dot, address: 192.0.2.1, token: t, region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:53: a perspective of the kind dot does not take token"},
		{"a certificate without TLS", head + "  - {name: a, kind: udp, address: 192.0.2.1, ca: c, region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:50: a perspective of the kind udp does not take ca"},
		{"a header without a token", head + "  - {name: a, kind: agent, address: \"https://a.example\", header: x-api-key, region: ARIN, coordinates: [1, 2]}\n", "p.yaml:3:66: header needs token"},
		{"a header of two lines", head + "  - {name: a, kind: agent, address: \"https://a.example\", token: t, header: \"x\\ny\", region: ARIN, coordinates: [1, 2]}\n", "want the name of an HTTP header"},
		{"two mistakes", head + "  - {name: a, kind: ssh, region: EU, coordinates: [1, 2]}\n", "\np.yaml:3:34:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := Parse("p.yaml", []byte(tt.text))
			if err == nil {
				t.Fatalf("it was taken: %+v", f)
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// Whatever a file has, Parse returns perspectives that can be judged, or errors with their positions.
func FuzzParse(f *testing.F) {
	f.Add("version: 1\nperspectives: [{name: a, kind: agent, address: \"https://a\", region: ARIN, coordinates: [1, 2], token: t, code: c}]\n")
	f.Add("version: 1\nprimary: b\nperspectives:\n- &a {name: b, kind: dot, address: \"[::1]:1\"}\n- *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("p.yaml", []byte(text))
		if err != nil {
			for _, e := range err.(policy.ErrorList) {
				if e.Pos.Line < 1 || e.Pos.Column < 1 || e.Message == "" {
					t.Errorf("%q: %+v", text, e)
				}
			}
			return
		}
		if file.Primary < 0 || file.Primary >= len(file.Specs) {
			t.Errorf("%q has no primary", text)
		}
		for _, s := range file.Specs {
			if s.Name == "" || s.Region == "" || s.Place.Valid() != nil || (s.Address == "") != (s.Kind == Self) {
				t.Errorf("%q: %+v", text, s)
			}
		}
	})
}

func TestFilesAreRegular(t *testing.T) {
	t.Parallel()
	regularfiletest.Refuses(t, "ca.pem", maxCertificates, func(dir, _ string) error {
		_, err := tlsConfig(Spec{Kind: DoH, CA: "ca.pem"}, dir)
		return err
	})
	regularfiletest.RefusesAllButPipes(t, "token", maxToken, func(_, path string) error {
		_, err := ReadToken(path)
		return err
	})
}
