package finding_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/test/lab"
)

// gathered is what is found for several names of a zone, without what is only good to know.
func gathered(t *testing.T, names []string, hooks map[string]lab.Hook, zones ...lab.Zone) []finding.Found {
	t.Helper()
	l := lab.New(t, hooks, append(zones, lab.Zone{Name: "test.", Servers: []string{"a.nic.test.", "b.nic.test."}})...)
	r, err := resolve.New(resolve.Config{Hints: l.Hints, Anchors: l.Anchors, Port: l.Port, Rate: -1, Timeout: 500 * time.Millisecond, NoIPv6: true})
	if err != nil {
		t.Fatal(err)
	}
	k := finding.NewCollector(r)
	found := finding.Gather(func(yield func(string, []finding.Sign) bool) {
		for _, name := range names {
			if !yield(name, finding.Signs(k.Collect(t.Context(), climb.Up(t.Context(), r, name)))) {
				return
			}
		}
	})
	return slices.DeleteFunc(found, func(f finding.Found) bool { return f.Finding.Severity == catalog.Info })
}

// A secondary whose copy has expired is one finding, for however many names and RRsets: with the server, the number of
// RRsets and the day.
func TestAnExpiredSecondaryIsOneFinding(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(-2 * day)
	z := lab.Zone{Name: zone, Servers: []string{first, second}, Text: healthy, At: map[string]func(*lab.Zone){second: func(z *lab.Zone) {
		z.Sign = func(sig *dns.RRSIG) {
			sig.Inception, sig.Expiration = uint32(end.Add(-14*day).Unix()), uint32(end.Unix())
		}
	}}}
	found := gathered(t, []string{"www." + zone, "host." + zone, zone}, nil, z)
	if len(found) != 1 || found[0].Finding.Code != "signature-expired" || len(found[0].Names) != 3 {
		t.Fatalf("got %+v", found)
	}
	f := found[0].Finding
	if !strings.HasPrefix(f.Text, "ns2.example.test (127.") || !strings.HasSuffix(f.Text, "RRsets, all expired on "+end.UTC().Format("2 January 2006")) {
		t.Errorf("got %q", f.Text)
	}
	if f.Severity != catalog.Error || f.Subject != "example.test" || !strings.Contains(f.Fix, "transfer") {
		t.Errorf("got %+v", f)
	}
}

// Thirty names with one mistake are one finding, with the names.
func TestOneMistakeAtManyNamesIsOneFinding(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	var names []string
	text.WriteString(mailHost)
	for i := range 30 {
		fmt.Fprintf(&text, "n%d CAA 0 issue \"letsencrypt.com\"\nn%d CAA 0 iodef \"mailto:a@nowhere.test\"\n", i, i)
		names = append(names, fmt.Sprintf("n%d.%s", i, zone))
	}
	found := gathered(t, names, nil, lab.Zone{Name: zone, Servers: []string{first, second}, Text: text.String()})
	var codes []string
	for _, f := range found {
		codes = append(codes, f.Finding.Code)
		if len(f.Names) != 30 || len(f.Finding.Subjects) != 30 || !strings.Contains(f.Finding.Text, "28 more") {
			t.Errorf("%d names, %d subjects: %s", len(f.Names), len(f.Finding.Subjects), f.Finding.Text)
		}
	}
	if slices.Sort(codes); !slices.Equal(codes, []string{"iodef-undeliverable", "issuer-misspelt"}) {
		t.Errorf("got %v", codes)
	}
}

// Causes and sets of servers are kept apart.
func TestDifferentServersAreDifferentFindings(t *testing.T) {
	t.Parallel()
	refuseAt := func(name string) lab.Hook {
		return func(_ string, q dns.Question, m *dns.Msg) *dns.Msg {
			if q.Qtype == dns.TypeCAA && (name == "" || dns.CanonicalName(q.Name) == name) {
				return rcode(dns.RcodeNotImplemented)(m)
			}
			return m
		}
	}
	found := gathered(t, []string{"a." + zone, "b." + zone}, map[string]lab.Hook{first: refuseAt(""), second: refuseAt("a." + zone)},
		lab.Zone{Name: zone, Servers: []string{first, second}, Text: "a CAA 0 issue \";\"\nb CAA 0 issue \";\"\n"})
	var texts []string
	for _, f := range found {
		if f.Finding.Code != "caa-refused" {
			t.Errorf("found %+v", f.Finding)
		}
		texts = append(texts, fmt.Sprint(len(f.Finding.Subjects))+" "+f.Finding.Text[strings.LastIndex(f.Finding.Text, " at ")+4:])
	}
	slices.Sort(texts)
	if want := []string{"1 b.example.test", "2 a.example.test"}; !slices.Equal(texts, want) {
		t.Errorf("got %v, want %v", texts, want)
	}
}
