package stock

import (
	"maps"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/test/world"
)

// caacheck finds the fault from outside, and finds nothing to fix where our plugin is in the
// other's place.
func TestTheCheckerFindsIt(t *testing.T) {
	t.Parallel()
	zone := signedZone(t)
	var hidden []finding.Finding
	for _, f := range check(t, zone) {
		if f.Code == "denial-hides-caa" {
			hidden = append(hidden, f)
		}
	}
	if len(hidden) != 1 || hidden[0].Severity != catalog.Error || hidden[0].Subject != "www.example.org" || len(hidden[0].Evidence) == 0 {
		t.Errorf("got %+v", hidden)
	}
}

func TestTheCheckerFindsNothingInOurs(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"example.org.db": zoneFile, "caa.yaml": `version: 1
issuers: {letsencrypt: {domain: letsencrypt.org}}
zones:
  example.org:
    issue: [letsencrypt]
    names: {www: {issue: none}}
`}
	maps.Copy(files, key.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    caa $DIR/caa.yaml {
        key file $DIR/`+key.Name+`
    }
    file $DIR/example.org.db
}
`, files)
	for _, f := range check(t, world.Zone{Name: "example.org", Server: server.Addr, Anchor: key.DS}) {
		if f.Severity != catalog.Info {
			t.Errorf("found %+v", f)
		}
	}
}

func check(t *testing.T, zone world.Zone) []finding.Finding {
	t.Helper()
	anchors, err := resolve.Records(zone.Anchor, "anchor")
	if err != nil {
		t.Fatal(err)
	}
	r, err := resolve.New(resolve.Config{Only: zone.Server, Anchors: anchors, Rate: -1})
	if err != nil {
		t.Fatal(err)
	}
	c := climb.Up(t.Context(), r, "www.example.org.")
	if rrset, _ := finding.NewCollector(r).Collect(t.Context(), c).Relevant(); len(rrset) != 1 || rrset[0].Value != ";" {
		t.Fatalf("the RRset of www: %v", rrset)
	}
	return finding.All(finding.NewCollector(r).Collect(t.Context(), c))
}
