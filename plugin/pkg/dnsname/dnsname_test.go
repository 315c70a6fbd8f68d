package dnsname

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

var label63 = strings.Repeat("a", 63)

// name255 has the most octets that a name can have, and name256 one more (RFC 1035 2.3.4).
var (
	name255 = strings.Repeat(label63+".", 3) + strings.Repeat("b", 61) + "."
	name256 = strings.Repeat(label63+".", 3) + strings.Repeat("b", 62) + "."
)

func TestUp(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		".":                {"."},
		"org.":             {"org.", "."},
		"www.example.org.": {"www.example.org.", "example.org.", "org.", "."},
		`a\.b\\.org.`:      {`a\.b\\.org.`, "org.", "."}, // RFC 1035 5.1
		"*.org.":           {"*.org.", "org.", "."},
	} {
		if got := slices.Collect(Up(name)); !slices.Equal(got, want) {
			t.Errorf("Up(%s) = %q, want %q", name, got, want)
		}
	}
	for range Up("www.example.org.") {
		break // yields no more after that, or the runtime panics
	}
}

func TestUpTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, apex string
		want       []string
	}{
		{"a.b.org.", "org.", []string{"a.b.org.", "b.org.", "org."}},
		{"a.b.org.", ".", []string{"a.b.org.", "b.org.", "org.", "."}},
		{"org.", "org.", []string{"org."}},
		{".", ".", []string{"."}},
		{"org.", "b.org.", nil},
		{".", "org.", nil},
		{"bad.org.", "d.org.", nil},
		{`a\.b.org.`, "b.org.", nil}, // RFC 1035 5.1: one label
		{"a.com.", "org.", nil},
	} {
		if got := slices.Collect(UpTo(c.name, c.apex)); !slices.Equal(got, c.want) {
			t.Errorf("UpTo(%s, %s) = %q, want %q", c.name, c.apex, got, c.want)
		}
	}
	for range UpTo("www.example.org.", "org.") {
		break
	}
}

// Every name has one more name at or above it than it has labels, each the parent of the one before.
func TestUpGoesFromParentToParent(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		name := randomName(random)
		up := slices.Collect(Up(name))
		if len(up) != dns.CountLabel(name)+1 || up[0] != name || up[len(up)-1] != "." {
			t.Fatalf("Up(%s) = %q", name, up)
		}
		for i, above := range up[1:] {
			if Parent(up[i]) != above || !Below(name, above) || Below(above, name) || Suffix(name, dns.CountLabel(above)) != above {
				t.Fatalf("%s is above %s", above, up[i])
			}
			if got := slices.Collect(UpTo(name, above)); !slices.Equal(got, up[:i+2]) {
				t.Fatalf("UpTo(%s, %s) = %q, want %q", name, above, got, up[:i+2])
			}
		}
		if other := randomName(random); len(slices.Collect(UpTo(name, other))) > 0 != dns.IsSubDomain(other, name) {
			t.Fatalf("UpTo(%s, %s) = %q", name, other, slices.Collect(UpTo(name, other)))
		}
	}
}

// randomName is a canonical name of few octets, so that random names are often related.
func randomName(random *rand.Rand) string {
	var wire []byte
	for range random.IntN(6) {
		label := make([]byte, 1+random.IntN(2))
		for i := range label {
			label[i] = ".\\a*\x00"[random.IntN(5)]
		}
		wire = append(append(wire, byte(len(label))), label...)
	}
	name, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		panic(err)
	}
	return name
}

// What answers queries, and what sorts and shows many names, makes no garbage.
func TestAllocatesNothing(t *testing.T) {
	const name, apex = "a.b.c.d.e.f.www.example.org.", "org."
	for what, do := range map[string]func() bool{
		"walking up": func() bool {
			for above := range Up(name) {
				if above == apex {
					return true
				}
			}
			return false
		},
		"walking up to the apex": func() (there bool) {
			for above := range UpTo(name, apex) {
				there = above == apex
			}
			return there
		},
		"parent":       func() bool { return Parent(name) != name },
		"limits":       func() bool { return Valid(name) },
		"order":        func() bool { return Compare(name, apex) > 0 },
		"presentation": func() bool { return Bare(apex) == "org" },
	} {
		if allocations := testing.AllocsPerRun(100, func() {
			if !do() {
				t.Errorf("%s went wrong", what)
			}
		}); allocations != 0 {
			t.Errorf("%s: %v allocations", what, allocations)
		}
	}
}

func TestParent(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{".": ".", "org.": ".", "www.example.org.": "example.org.", `a\.b.org.`: "org."} {
		if got := Parent(name); got != want {
			t.Errorf("Parent(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ancestor string
		want           bool
	}{
		{"a.org.", "org.", true}, {"A.b.oRG.", "Org.", true}, {"org.", ".", true}, {`a\.b.org.`, "org.", true},
		{"org.", "org.", false}, {".", ".", false}, {"org.", "a.org.", false}, {"borg.", "org.", false}, {`a\.org.`, "org.", false},
	} {
		if got := Below(c.name, c.ancestor); got != c.want {
			t.Errorf("Below(%s, %s) = %v", c.name, c.ancestor, got)
		}
	}
}

func TestSuffix(t *testing.T) {
	t.Parallel()
	for i, want := range []string{".", "org.", "example.org.", `a\.b.example.org.`, `a\.b.example.org.`} {
		if got := Suffix(`a\.b.example.org.`, i); got != want {
			t.Errorf("%d labels: %s, want %s", i, got, want)
		}
	}
	if got := Suffix(".", 1); got != "." {
		t.Errorf("of the root: %s", got)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ first, rest, want string }{
		{"www.", "example.org.", "www.example.org."}, {"a.b.", ".", "a.b."}, {".", "org.", "org."}, {".", ".", "."},
	} {
		if got := Join(c.first, c.rest); got != c.want {
			t.Errorf("Join(%s, %s) = %s, want %s", c.first, c.rest, got, c.want)
		}
	}
}

func TestWildcard(t *testing.T) { // RFC 4592 2.1.1, 3.3.1
	t.Parallel()
	for encloser, want := range map[string]string{".": "*.", "org.": "*.org.", "*.org.": "*.*.org."} {
		if got := Wildcard(encloser); got != want || !IsWildcard(got) || Parent(got) != encloser {
			t.Errorf("Wildcard(%s) = %s, want %s", encloser, got, want)
		}
	}
	for _, name := range []string{".", "org.", "a.*.org.", "**.org.", `\*.org.`} {
		if IsWildcard(name) {
			t.Errorf("%s is a wildcard", name)
		}
	}
}

func TestValid(t *testing.T) { // RFC 1035 2.3.4
	t.Parallel()
	escaped := strings.Repeat(`\000`, 63) + "."
	for _, name := range []string{".", "org.", "*.org.", `a\.b.`, name255, label63 + ".", escaped, strings.Repeat(escaped, 3)} {
		if !Valid(name) {
			t.Errorf("%s is not a name", name)
		}
	}
	for _, name := range []string{"", "org", `org\.`, "..", ".org.", "a..org.", name256, "b" + name256, label63 + "a.", strings.Repeat(escaped, 4)} {
		if Valid(name) {
			t.Errorf("%s is a name", name)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		".": ".", "org": "org.", "WWW.Example.ORG.": "www.example.org.", `a\.B`: `a\.b.`, "*.org": "*.org.",
		`\065\065.org`: "aa.org.", `a\046b.`: `a\.b.`, "\u00fc.org.": `\195\188.org.`, `a\ b.`: `a\ b.`, "a b.": `a\ b.`, name255: name255,
	} {
		if got, ok := Canonical(text); !ok || got != want {
			t.Errorf("Canonical(%s) = %s, %v; want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "..", "a..b", ".a", `a\`, "\u00fc\\", name256, label63 + "a"} {
		if got, ok := Canonical(text); ok {
			t.Errorf("Canonical(%s) = %s", text, got)
		}
	}
}

// FuzzCanonical reads names as a Corefile and command lines have them, and holds that what we show of them is read again as
// the same name.
func FuzzCanonical(f *testing.F) {
	for _, text := range []string{".", "", "Example.org", `a\.b.`, `\065.`, `\256.`, `\`, `a\`, "a..b.", "\u00fc.", "\\\u00fc.", "\x1b[0m.", "\u00fc\\", name255, name256} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, ok := Canonical(text)
		if !ok {
			return
		}
		if !Valid(name) || name != dns.CanonicalName(name) {
			t.Fatalf("%q: %q is not canonical", text, name)
		}
		if again, ok := Canonical(name); !ok || again != name {
			t.Errorf("%q: %q, and again %q", text, name, again)
		}
		if !bytes.EqualFold(packed(t, name), packed(t, dns.Fqdn(Bare(text)))) {
			t.Errorf("%q: %q is another name", text, name)
		}
		for _, shown := range []string{name, text} {
			bare := Bare(shown)
			if strings.ContainsFunc(bare, func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("%q is shown as %q", shown, bare)
			}
			if again, ok := Canonical(bare); !ok || again != name {
				t.Errorf("%q is shown as %q, which is %q", shown, bare, again)
			}
		}
		for above := range Up(name) {
			if !Valid(above) || !dns.IsSubDomain(above, name) || Compare(above, name) > 0 {
				t.Errorf("%q is above %q", above, name)
			}
		}
	})
}

// packed is a name on the wire, by miekg/dns.
func packed(t *testing.T, name string) []byte {
	t.Helper()
	wire := make([]byte, 256)
	end, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return wire[:end]
}

// The order of RFC 4034 6.1's example.
func TestCompare(t *testing.T) {
	t.Parallel()
	order := []string{".", "example.", "a.example.", `yljkjljk.a.example.`, "Z.a.example.", `zABC.a.EXAMPLE.`, "z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`}
	for i := range order {
		for j := range order {
			if got := Compare(order[i], order[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("Compare(%s, %s) = %d", order[i], order[j], got)
			}
		}
	}
	if got := Compare(name255, strings.ToUpper(name255)); got != 0 {
		t.Errorf("case matters: %d", got)
	}
}

// Canonical order is that of the reversed labels, compared as octets.
func TestCompareIsThatOfReversedLabels(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	reversed := func(name string) (labels []string) {
		for wire := packed(t, name); wire[0] != 0; wire = wire[1+wire[0]:] {
			labels = append(labels, string(wire[1:1+wire[0]]))
		}
		slices.Reverse(labels)
		return labels
	}
	for range 5000 {
		a, b := randomName(random), randomName(random)
		if got, want := Compare(a, b), slices.Compare(reversed(a), reversed(b)); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Fatalf("Compare(%s, %s) = %d, want %d", a, b, got, want)
		}
	}
}

func ExampleUp() {
	for name := range Up("www.example.org.") {
		fmt.Println(name)
	}
	// Output:
	// www.example.org.
	// example.org.
	// org.
	// .
}
