package caa

import (
	"slices"
	"strings"
	"testing"

	"github.com/coredns/coredns/plugin/file"
	"github.com/miekg/dns"
)

// A type that no range holds is listed as soon as the zone's data have it: before it was ever asked for
// where the plugin shows its data, and once it was seen where it does not. One denial of another
// type would otherwise hide it from everyone (RFC 8198 5.1).
func TestOddTypes(t *testing.T) {
	t.Parallel()
	const odd = 40000
	denied := func(t *testing.T, h *built) bool {
		t.Helper()
		for _, rr := range ask(t, h, question("www.example.org.", dns.TypeMX), true).Ns {
			if nsec, ok := rr.(*dns.NSEC); ok {
				if !slices.Contains(nsec.TypeBitMap, dns.TypeCAA) || slices.Contains(nsec.TypeBitMap, dns.TypeMX) {
					t.Errorf("the rest of the bitmap: %v", nsec)
				}
				return !slices.Contains(nsec.TypeBitMap, odd)
			}
		}
		t.Fatal("no denial")
		return false
	}
	data := fileZone(t, overlayData+"odd TYPE40000 \\# 1 00\n")

	shown, _ := build(t, overlayPolicy, "key auto $DIR/keys", data)
	behind(shown, data)
	if denied(t, shown) {
		t.Error("the data were shown, and their type is denied")
	}

	hidden, _ := build(t, overlayPolicy, "key auto $DIR/keys", data)
	if !denied(t, hidden) {
		t.Error("the type is listed, but nothing has shown it: what is tested here?")
	}
	ask(t, hidden, question("odd.example.org.", odd), true)
	if denied(t, hidden) {
		t.Error("the type was seen, and is denied")
	}
}

// A census is taken once for each serial: it reads the whole zone.
func TestCensusOncePerSerial(t *testing.T) {
	t.Parallel()
	store := &countedStore{File: fileZone(t, overlayData).(file.File)}
	h, _ := build(t, overlayPolicy, "key auto $DIR/keys", store)
	behind(h, store)
	for range 5 {
		ask(t, h, question("www.example.org.", dns.TypeMX), true)
		ask(t, h, question("nope.example.org.", dns.TypeA), true)
	}
	if store.taken != 1 {
		t.Errorf("%d censuses of one serial", store.taken)
	}
	store.File = fileZone(t, strings.Replace(overlayData, "hostmaster 1 7200", "hostmaster 2 7200", 1)).(file.File)
	ask(t, h, question("www.example.org.", dns.TypeMX), true)
	if store.taken != 2 {
		t.Errorf("%d censuses of two serials", store.taken)
	}
}

type countedStore struct {
	file.File
	taken int
}

func (s *countedStore) Transfer(zone string, serial uint32) (<-chan []dns.RR, error) {
	s.taken++
	return s.File.Transfer(zone, serial)
}
