package overlay

import (
	"crypto"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// The servers for all backends that answer by type: ours, those behind it, and the resolvers.

// typeWorld is a backend behind a carrier, with zones that all have the same data.
type typeWorld struct {
	backend *byType
	carrier string
	zones   []*typeZone // as many for each resolver as there are orders, and one more
}

// carriers are what our next plugin is: the backend itself, or one that asks a server which has it.
var carriers = []string{"direct", "forward", "grpc"}

func (w *typeWorld) name() string { return w.backend.label + ", " + w.carrier }

// onFull reports whether our server needs plugins for it that the lean one lacks.
func (w *typeWorld) onFull() bool { return w.backend.full && w.carrier == "direct" }

// typeZone is a zone about which one resolver is asked in one order.
type typeZone struct {
	truth  *truth
	key    world.Key
	signed map[string]string // zone files of the signed zones below its cuts, by apex
	ds     map[string]string // a line with their DS
}

// typeScene is what a test asks.
type typeScene struct {
	worlds []*typeWorld
	ours   map[bool]netip.AddrPort // our servers, by whether they are full
	askers []asker
}

// asker is a resolver.
type asker struct {
	name string
	addr netip.AddrPort
}

// newTypeScene starts all servers, for a number of orders.
func newTypeScene(t *testing.T, n int) *typeScene {
	t.Helper()
	worlds := newTypeWorlds(t, n)
	shared := &stores{etcd: "http://" + world.Etcd(t, etcdValues(worlds)).Addr.String(), kubernetes: kubernetesAPI(t, cluster(worlds))}
	behind := map[string]netip.AddrPort{"forward": servesBackends(t, worlds, "forward", "", shared), "grpc": servesBackends(t, worlds, "grpc", "grpc://", shared)}
	ours := map[bool]netip.AddrPort{false: servesOverlays(t, worlds, world.CoreDNS, false, behind, shared), true: servesOverlays(t, worlds, world.FullCoreDNS, true, behind, shared)}
	s := &typeScene{worlds: worlds, ours: ours}
	for i, name := range slices.Sorted(maps.Keys(world.Validators)) {
		s.askers = append(s.askers, asker{name, world.Validators[name](t, zonesKnown(worlds, ours, i*n, (i+1)*n)...).Addr})
	}
	return s
}

// servesBackends starts the server that a carrier asks.
func servesBackends(t *testing.T, worlds []*typeWorld, carrier, scheme string, shared *stores) netip.AddrPort {
	t.Helper()
	c := newCorefile(shared, scheme)
	for _, w := range worlds {
		if w.carrier == carrier {
			c.block(apices(w.zones), w.backend.lines(c.stores, w.zones))
		}
	}
	return world.FullCoreDNS(t, c.b.String(), c.stores.files).Addr
}

// servesOverlays starts one of our servers.
func servesOverlays(t *testing.T, worlds []*typeWorld, run starter, full bool, behind map[string]netip.AddrPort, shared *stores) netip.AddrPort {
	t.Helper()
	c := newCorefile(shared, "")
	mine := slices.DeleteFunc(slices.Clone(worlds), func(w *typeWorld) bool { return w.onFull() != full })
	for _, w := range mine {
		c.overlay(w, behind[w.carrier])
	}
	c.stores.files["policy.yaml"] = typePolicy(mine)
	return run(t, c.b.String(), c.stores.files).Addr
}

// zonesKnown are those that a resolver is asked about, of each world those from one number to another.
func zonesKnown(worlds []*typeWorld, ours map[bool]netip.AddrPort, from, to int) []world.Zone {
	zones := []world.Zone{{Name: outside, Server: ours[false]}}
	for _, w := range worlds {
		server := ours[w.onFull()]
		for _, z := range w.zones[from:to] {
			for _, child := range z.truth.children { // else some follow its NS to port 53
				zones = append(zones, world.Zone{Name: child, Server: server})
			}
			zones = append(zones, world.Zone{Name: z.truth.apex, Server: server, Anchor: z.key.DS})
		}
	}
	return zones
}

// newTypeWorlds makes the worlds' zones.
func newTypeWorlds(t *testing.T, n int) (worlds []*typeWorld) {
	t.Helper()
	zones := 0
	for i := range byTypes {
		for _, carrier := range carriers {
			b := &byTypes[i]
			w := &typeWorld{backend: b, carrier: carrier}
			for range n*len(world.Validators) + 1 {
				zones++ // no two zones share their first label
				w.zones = append(w.zones, newTypeZone(t, fmt.Sprintf("z%d.%s.%s.test.", zones, b.label, carrier), b))
			}
			worlds = append(worlds, w)
		}
	}
	return worlds
}

func newTypeZone(t *testing.T, apex string, b *byType) *typeZone {
	t.Helper()
	signed, ds := map[string]string{}, map[string]string{}
	if strings.Contains(b.truth, "\nscut NS") {
		child := "scut." + apex
		key := world.NewKey(t, child)
		signed[child], ds[child] = signChild(t, child, key), key.DS+"\n"
	}
	z, err := newTruth(apex, strings.ReplaceAll(b.truth, "$ID", dns.SplitDomainName(apex)[0]), b.absent, ds)
	if err != nil {
		t.Fatal(err)
	}
	return &typeZone{truth: z, key: world.NewKey(t, apex), signed: signed, ds: ds}
}

// apices are the names of zones.
func apices(zones []*typeZone) (names []string) {
	for _, z := range zones {
		names = append(names, z.truth.apex)
	}
	return names
}

// typePolicy has the same for each zone.
func typePolicy(worlds []*typeWorld) string {
	var b strings.Builder
	b.WriteString("version: 1\nissuers:\n  letsencrypt: {domain: letsencrypt.org}\n  digicert: {domain: digicert.com}\nzones:\n")
	for _, w := range worlds {
		for _, z := range w.zones {
			fmt.Fprintf(&b, "  %s:\n    issue: [letsencrypt]\n    names:\n", z.truth.apex)
			for _, name := range digiCertAt {
				fmt.Fprintf(&b, "      %s: {issue: [digicert]}\n", name)
			}
		}
	}
	return b.String()
}

// corefile is one in the making.
type corefile struct {
	stores *stores
	scheme string
	b      strings.Builder
}

// newCorefile begins with the zone outside of all others.
func newCorefile(shared *stores, scheme string) *corefile {
	c := &corefile{stores: &stores{files: map[string]string{"db.outside": outsideData, "db.child": "$TTL 60\n" + childZone}, etcd: shared.etcd, kubernetes: shared.kubernetes}, scheme: scheme}
	c.block([]string{outside}, "    file $DIR/db.outside\n")
	return c
}

func (c *corefile) block(zones []string, lines string) {
	for _, zone := range zones {
		fmt.Fprintf(&c.b, "%s%s:$PORT ", c.scheme, zone)
	}
	fmt.Fprintf(&c.b, "{\n    bind $ADDR\n    errors\n%s}\n", lines)
}

// overlay writes our block for a world, and those of the zones below its cuts.
func (c *corefile) overlay(w *typeWorld, behind netip.AddrPort) {
	keys, below := "key file", ""
	var signed, unsigned []string
	for _, z := range w.zones {
		keys += " $DIR/" + z.key.Name
		maps.Copy(c.stores.files, z.key.Files)
		for _, child := range z.truth.children {
			text, ok := z.signed[child]
			if !ok {
				unsigned = append(unsigned, child)
				continue
			}
			signed = append(signed, child)
			c.stores.files["db."+child] = text
			below += "    file $DIR/db." + child + " " + child + "\n"
		}
	}
	lines := fmt.Sprintf("    %s . %v\n", w.carrier, behind)
	if w.carrier == "direct" {
		lines = w.backend.lines(c.stores, w.zones)
	}
	c.block(apices(w.zones), "    caa $DIR/policy.yaml {\n        "+keys+"\n        reload off\n    }\n"+lines)
	if len(unsigned) > 0 {
		c.block(unsigned, "    file $DIR/db.child\n")
	}
	if len(signed) > 0 {
		c.block(signed, below)
	}
}

// signChild signs the zone below a cut with one key, and a chain of NSEC.
func signChild(t *testing.T, apex string, key world.Key) string {
	t.Helper()
	rr, err := dns.NewRR(key.Files[key.Name+".key"])
	if err != nil {
		t.Fatal(err)
	}
	public := rr.(*dns.DNSKEY)
	private, err := public.NewPrivateKey(key.Files[key.Name+".private"])
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string]map[uint16][]dns.RR{apex: {dns.TypeDNSKEY: {public}}}
	parser := dns.NewZoneParser(strings.NewReader(childZone), apex, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		h := rr.Header()
		if sets[h.Name] == nil {
			sets[h.Name] = map[uint16][]dns.RR{}
		}
		sets[h.Name][h.Rrtype] = append(sets[h.Name][h.Rrtype], rr)
	}
	names := slices.Sorted(maps.Keys(sets)) // the apex is the shortest, and all others are right below it
	slices.SortStableFunc(names, func(a, b string) int { return dns.CountLabel(a) - dns.CountLabel(b) })
	var out []dns.RR
	for i, name := range names {
		types := append(slices.Collect(maps.Keys(sets[name])), dns.TypeNSEC, dns.TypeRRSIG)
		slices.Sort(types)
		sets[name][dns.TypeNSEC] = []dns.RR{&dns.NSEC{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60}, NextDomain: names[(i+1)%len(names)], TypeBitMap: types}}
		for _, set := range sets[name] {
			sig := &dns.RRSIG{Algorithm: public.Algorithm, KeyTag: public.KeyTag(), SignerName: apex, Inception: uint32(time.Now().Add(-time.Hour).Unix()), Expiration: uint32(time.Now().Add(24 * time.Hour).Unix())}
			if err := sig.Sign(private.(crypto.Signer), set); err != nil {
				t.Fatal(err)
			}
			out = append(append(out, set...), sig)
		}
	}
	return text(out)
}
