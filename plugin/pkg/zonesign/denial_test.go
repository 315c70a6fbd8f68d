package zonesign

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// canonicalLess is the order of RFC 4034 6.1, written independently of the code under test: label by
// label from the root, as strings of lower-case octets, where absent sorts first.
func canonicalLess(a, b string) bool { return slices.Compare(rootFirst(a), rootFirst(b)) < 0 }

func rootFirst(name string) []string {
	var out []string
	for _, text := range dns.SplitDomainName(name) {
		var buf [70]byte
		end, err := dns.PackDomainName(text+".", buf[:], 0, nil, false)
		if err != nil {
			panic(err)
		}
		label := buf[1 : end-1]
		for i, octet := range label { // not strings.ToLower, which reads UTF-8
			if octet >= 'A' && octet <= 'Z' {
				label[i] = octet | 0x20
			}
		}
		out = append(out, string(label))
	}
	slices.Reverse(out)
	return out
}

func nextOf(t testing.TB, owner string) string {
	t.Helper()
	set, err := nsec(owner, 300)
	if err != nil {
		t.Fatal(err)
	}
	return records(t, set)[0].(*dns.NSEC).NextDomain
}

func octets(code string, n int) string { return strings.Repeat(code, n) }

// filled returns a name of so many octets on the wire, with first as its first label.
func filled(first string, firstOctets, octetsOnWire int) string {
	name, used := first+".", 1+firstOctets+1
	for used < octetsOnWire {
		n := min(octetsOnWire-used-1, 63)
		if left := octetsOnWire - used - 1 - n; left == 1 {
			n-- // a label takes two octets at least
		}
		name += octets("m", n) + "."
		used += 1 + n
	}
	return name
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, owner, want string }{
		{"RFC 9824 3.1.1", "www.example.org.", `\000.www.example.org.`},
		{"the apex", "example.org.", `\000.example.org.`},
		{"the root", ".", `\000.`},
		{"a wildcard", "*.example.org.", `\000.*.example.org.`},
		{"253 octets: one label still fits", filled("a", 1, 253), `\000.` + filled("a", 1, 253)},
		{"RFC 4471 3.1.2 step 2: 254 octets", filled("a", 1, 254), `a\000` + strings.TrimPrefix(filled("a", 1, 254), "a")},
		{"step 3: 255 octets", filled("a", 1, 255), `b` + strings.TrimPrefix(filled("a", 1, 255), "a")},
		{"step 3: a label of 63 octets", filled(octets("a", 63), 63, 254), octets("a", 62) + "b" + strings.TrimPrefix(filled(octets("a", 63), 63, 254), octets("a", 63))},
		{"step 3: no capitals", filled("@", 1, 255), `[` + strings.TrimPrefix(filled("@", 1, 255), `@`)},
		{"step 3: octets at their maximum go", filled(`a\255\255`, 3, 255), `b` + strings.TrimPrefix(filled(`a\255\255`, 3, 255), `a\255\255`)},
		{"step 4: a label at its maximum goes, and the one above it grows", `\255.` + filled("a", 1, 253), `a\000` + strings.TrimPrefix(filled("a", 1, 253), "a")},
	} {
		if got := nextOf(t, c.owner); got != c.want {
			t.Errorf("%s: the successor of %s is %s, want %s", c.what, c.owner, got, c.want)
		}
	}
}

// Nothing that a zone can hold sorts between a name and its successor: every name that is close to
// either is tried.
func TestSuccessorIsImmediate(t *testing.T) {
	t.Parallel()
	firsts := []struct {
		label  string
		octets int
	}{
		{"a", 1}, {`\000`, 1}, {"@", 1}, {"`", 1}, {"z", 1}, {`\255`, 1}, {`\254`, 1}, {`a\255`, 2}, {`\255\255`, 2}, {`a\000`, 2},
		{octets("a", 63), 63}, {octets("a", 62) + `\255`, 63}, {octets(`\255`, 63), 63}, {octets("a", 62), 62},
	}
	for _, first := range firsts {
		for _, size := range []int{80, 250, 251, 252, 253, 254, 255} {
			owner := filled(first.label, first.octets, size)
			next := nextOf(t, owner)
			if _, err := OwnerWire(next); err != nil {
				t.Fatal(err)
			}
			if !canonicalLess(owner, next) {
				t.Errorf("%s (%d octets) does not sort before its successor %s", owner, size, next)
			}
			for _, other := range neighbours(owner, next) {
				if canonicalLess(owner, other) && canonicalLess(other, next) {
					t.Errorf("%s sorts between %s and its successor %s", other, owner, next)
				}
			}
		}
	}
}

// neighbours are names that sort close to the given ones, as far as they are names at all.
func neighbours(names ...string) []string {
	var out []string
	add := func(name string) {
		if wire, err := OwnerWire(name); err == nil && len(wire) <= maxName {
			out = append(out, name)
		}
	}
	for _, name := range names {
		for name != "." {
			first, above, _ := strings.Cut(name, ".") // no name here has an escaped dot
			for _, octet := range []string{`\000`, `\001`, "@", "[", "`", "{", `\254`, `\255`} {
				for _, n := range []int{1, 2, 62, 63} {
					add(octets(octet, n) + "." + name)
				}
				add(first + octet + "." + above)
			}
			if name = above; name == "" {
				name = "."
			}
			add(name)
		}
	}
	return out
}

func TestNSECBitmap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what       string
		give, want []uint16
	}{
		{"RRSIG and NSEC always", nil, []uint16{46, 47}},
		{"CAA is in the second window", []uint16{dns.TypeCAA}, []uint16{46, 47, 257}},
		{"sorted, without duplicates", []uint16{dns.TypeCAA, dns.TypeA, dns.TypeCAA, dns.TypeNSEC}, []uint16{1, 46, 47, 257}},
		{"an apex", []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeDNSKEY, dns.TypeCAA, dns.TypeCDS, dns.TypeCDNSKEY}, []uint16{2, 6, 46, 47, 48, 59, 60, 257}},
		{"the last window", []uint16{0xFFFF, 0xFF00, 256}, []uint16{46, 47, 256, 0xFF00, 0xFFFF}},
		{"RFC 9824 3.2: a name that does not exist", []uint16{dns.TypeNXNAME}, []uint16{46, 47, 128}},
	} {
		set, err := nsec("www.example.org.", 300, c.give...)
		if err != nil {
			t.Fatal(err)
		}
		if set.Owner != "www.example.org." || set.TTL != 300 || set.Type != dns.TypeNSEC {
			t.Errorf("%+v", set)
		}
		if got := records(t, set)[0].(*dns.NSEC).TypeBitMap; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

func TestNXNAMEIsNSEC(t *testing.T) {
	t.Parallel()
	got, err := nsec("no.example.org.", 60, dns.TypeNXNAME)
	want, _ := nsec("no.example.org.", 60, dns.TypeNXNAME)
	if err != nil || !got.equal(want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestNSECRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		owner string
		types []uint16
		says  string
	}{
		{"example.org", nil, "dot"},
		{"a..org.", nil, "empty label"},
		{zone, []uint16{0}, "pseudo-type"},
		{zone, []uint16{dns.TypeOPT}, "pseudo-type"},
		{zone, []uint16{dns.TypeANY}, "pseudo-type"},
		{zone, []uint16{dns.TypeNXNAME, dns.TypeCAA}, "RFC 9824 3.2"},
		{octets(`\255`, 61) + "." + strings.Repeat(octets(`\255`, 63)+".", 3), nil, "no name sorts after it"},
	} {
		_, err := nsec(c.owner, 300, c.types...)
		wantError(t, err, c.says)
	}
}

func FuzzNSEC(f *testing.F) {
	for _, name := range []string{".", "example.org.", `a\.b.example.org.`, `\255.x.`, filled("a", 1, 254), filled(`\255`, 1, 255), filled(octets("@", 63), 63, 254)} {
		f.Add(name, uint16(257), uint16(1))
	}
	f.Fuzz(func(t *testing.T, name string, one, two uint16) {
		name = dns.CanonicalName(name)
		set, err := nsec(name, 300, one, two)
		if err != nil {
			return
		}
		nsec := records(t, set)[0].(*dns.NSEC)
		if !canonicalLess(name, nsec.NextDomain) {
			t.Errorf("%q: next %q", name, nsec.NextDomain)
		}
		for _, want := range []uint16{one, two, dns.TypeNSEC, dns.TypeRRSIG} {
			if !slices.Contains(nsec.TypeBitMap, want) {
				t.Errorf("%q: %d is not in %v", name, want, nsec.TypeBitMap)
			}
		}
		if !slices.IsSorted(nsec.TypeBitMap) {
			t.Errorf("%v is not sorted", nsec.TypeBitMap)
		}
	})
}

// RFC 4034 4.1.2: no window without types, no trailing zero octets.
func TestBitmapWithout(t *testing.T) {
	t.Parallel()
	bitmap, err := NewBitmap(dns.TypeA, dns.TypeMX, dns.TypeCAA, 300, 65280)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		without uint16
		left    []uint16
	}{
		{dns.TypeMX, []uint16{dns.TypeA, dns.TypeCAA, 300, 65280}},
		{dns.TypeTXT, []uint16{dns.TypeA, dns.TypeMX, dns.TypeCAA, 300, 65280}}, // not in it
		{300, []uint16{dns.TypeA, dns.TypeMX, dns.TypeCAA, 65280}},              // its octets go
		{65280, []uint16{dns.TypeA, dns.TypeMX, dns.TypeCAA, 300}},              // its window goes
		{1000, []uint16{dns.TypeA, dns.TypeMX, dns.TypeCAA, 300, 65280}},        // a window that is not there
	} {
		want, err := NewBitmap(c.left...)
		if err != nil {
			t.Fatal(err)
		}
		got := bitmap.Without(c.without)
		if !bytes.Equal(got, want) {
			t.Errorf("without %d: % x, want % x", c.without, got, want)
		}
		for _, rrtype := range []uint16{dns.TypeA, dns.TypeNS, dns.TypeMX, dns.TypeTXT, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeCAA, 300, 301, 1000, 65280, 65535} {
			has := slices.Contains(c.left, rrtype) || rrtype == dns.TypeRRSIG || rrtype == dns.TypeNSEC
			if got.Has(rrtype) != has {
				t.Errorf("without %d: it has %d: %t, want %t", c.without, rrtype, !has, has)
			}
		}
	}
}
