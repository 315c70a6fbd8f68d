// Package lab is a DNS for tests: a root, zones under it, and name servers that answer
// for them, all in this process on loopback addresses and one port of the kernel's choice.
//
// A test lists zones and says what is wrong with them; the lab writes the delegations, signs, and
// answers by RFC 1034 and RFC 4035 (or as the test's hooks make it answer). Real servers are
// in test/world; this package exists because no real server can be made wrong in every way.
package lab

import (
	"cmp"
	"crypto"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/dnsname"
)

// Zone is one zone of the lab.
type Zone struct {
	Name    string
	Servers []string // names; the lab chooses addresses. One server may have several zones.
	Text    string   // records in zone file syntax, names relative to the zone; SOA, NS and glue are added
	TTL     uint32   // default of its records; 0 for 300

	Serial   uint32 // of the SOA; 0 for 1
	Negative uint32 // the SOA's minimum and TTL; 0 for 60

	// At changes the zone as one of its servers has it, by the server's name: an old copy, or one that is signed otherwise.
	At map[string]func(*Zone)

	MaxOffer uint16 // questions over UDP that offer a larger EDNS size are dropped, as by some firewalls; 0 for none

	Unsigned  bool
	Algorithm uint8                                      // of its key; 0 for ED25519
	OwnKey    bool                                       // of At: with a key of its own
	Digest    uint8                                      // of the DS record; 0 for SHA-256
	NoDS      bool                                       // signed, but the parent does not know
	DS        func(*dns.DS)                              // changes the parent's DS record
	Sign      func(*dns.RRSIG)                           // changes what a signature says before it is made
	Bitmap    func(name string, types []uint16) []uint16 // changes a denial's types
	Unlinked  string                                     // a name that the NSEC chain leaves out
	LiesFor   uint16                                     // a type whose denials list no other than NSEC and RRSIG
}

// Hook changes an answer before it is sent; nil sends none.
type Hook func(transport string, question dns.Question, answer *dns.Msg) *dns.Msg

// Lab is a running DNS.
type Lab struct {
	Hints   []dns.RR
	Anchors []dns.RR // the root's DS
	Port    uint16

	t       testing.TB
	zones   map[string]*zone
	servers map[string]*server
	subnet  [2]byte
}

// subnets gives each lab of a process addresses of its own.
var subnets atomic.Uint32

// New starts a lab with these zones; the root is added if it is not among them. Hooks are by server.
func New(t testing.TB, hooks map[string]Hook, zones ...Zone) *Lab {
	t.Helper()
	n := subnets.Add(1)
	// Three digits each, so that lines which are wrapped at a width break at the same words in every run.
	const first, many = 100, 156
	subnet := [2]byte{byte(first + (uint32(os.Getpid())+n/many)%many), byte(first + n%many)}
	l := &Lab{t: t, zones: map[string]*zone{}, servers: map[string]*server{}, subnet: subnet}
	if !slices.ContainsFunc(zones, func(z Zone) bool { return z.Name == "." }) {
		zones = append(zones, Zone{Name: ".", Servers: []string{"a.root."}})
	}
	slices.SortStableFunc(zones, func(a, b Zone) int { return dns.CountLabel(a.Name) - dns.CountLabel(b.Name) })
	for _, z := range zones {
		l.add(z)
	}
	for _, z := range l.zones {
		l.delegate(z)
	}
	for _, z := range l.zones {
		z.finish(t)
		l.alter(z)
	}
	l.listen(hooks)
	root := l.zones["."]
	for _, name := range root.Servers {
		l.Hints = append(l.Hints, l.rr(". 3600 IN NS %s", name), l.address(name))
	}
	if !root.Unsigned {
		l.Anchors = []dns.RR{root.key.ToDS(dns.SHA256)}
	} else {
		l.Anchors = []dns.RR{}
	}
	return l
}

// Addr is where a name server answers.
func (l *Lab) Addr(server string) netip.Addr { return l.servers[server].addr }

// AddrPort is that with the port.
func (l *Lab) AddrPort(server string) netip.AddrPort {
	return netip.AddrPortFrom(l.Addr(server), l.Port)
}

// DS is a zone's own DS record.
func (l *Lab) DS(zone string) *dns.DS { return l.zones[zone].key.ToDS(dns.SHA256) }

func (l *Lab) rr(format string, args ...any) dns.RR {
	l.t.Helper()
	rr, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		l.t.Fatal(err)
	}
	return rr
}

func (l *Lab) add(spec Zone) {
	l.t.Helper()
	for _, name := range spec.Servers {
		if l.servers[name] == nil {
			l.servers[name] = &server{addr: l.newAddr(name), zones: map[string]*zone{}}
		}
	}
	z := l.make(spec)
	l.zones[spec.Name] = z
	for _, name := range spec.Servers {
		l.servers[name].zones[spec.Name] = z
	}
	if !spec.Unsigned {
		z.makeKey(l.t)
	}
}

// make is a zone with its records, without keys and without what the lab adds.
func (l *Lab) make(spec Zone) *zone {
	l.t.Helper()
	spec.TTL, spec.Negative, spec.Serial = cmp.Or(spec.TTL, 300), cmp.Or(spec.Negative, 60), cmp.Or(spec.Serial, 1)
	z := &zone{Zone: spec, sets: map[string]map[uint16][]dns.RR{}, sigs: map[string][]dns.RR{}, lies: map[dns.RR][]dns.RR{}}
	z.add(l.rr("%s %d IN SOA %s hostmaster.%s %d 7200 3600 1209600 %d", spec.Name, spec.Negative, spec.Servers[0], strings.TrimPrefix(spec.Name, "."), spec.Serial, spec.Negative))
	for _, name := range spec.Servers {
		z.add(l.rr("%s 300 IN NS %s", spec.Name, name))
	}
	parser := dns.NewZoneParser(strings.NewReader(fmt.Sprintf("$TTL %d\n%s", spec.TTL, spec.Text)), spec.Name, spec.Name)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		z.add(rr)
	}
	if err := parser.Err(); err != nil {
		l.t.Fatal(err)
	}
	return z
}

// alter gives servers the zone as they have it.
func (l *Lab) alter(z *zone) {
	for name, change := range z.At {
		spec := z.Zone
		change(&spec)
		other := l.make(spec)
		for _, rr := range z.added {
			other.add(rr)
		}
		other.glue = z.glue
		switch {
		case spec.Unsigned:
		case spec.OwnKey:
			other.makeKey(l.t)
		default:
			other.key, other.private = z.key, z.private
			other.add(z.key)
		}
		other.finish(l.t)
		l.servers[name].zones[z.Name] = other
	}
}

// newAddr is an address for a server: one of IPv4, unless its name begins with v6, for which there is
// but one.
func (l *Lab) newAddr(server string) netip.Addr {
	if strings.HasPrefix(server, "v6") {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, l.subnet[0], l.subnet[1], byte(1 + len(l.servers))})
}

// address is a server's address record.
func (l *Lab) address(server string) dns.RR {
	rrtype := "A"
	if l.Addr(server).Is6() {
		rrtype = "AAAA"
	}
	return l.rr("%s 300 IN %s %s", server, rrtype, l.Addr(server))
}

// delegate writes a zone's delegation into its parent, and its servers' addresses where they belong.
func (l *Lab) delegate(z *zone) {
	for _, name := range z.Servers {
		home := l.home(name)
		if home.sets[name][dns.TypeA] == nil && home.sets[name][dns.TypeAAAA] == nil {
			home.extend(l.address(name))
		}
	}
	if z.Name == "." {
		return
	}
	parent := l.home(dnsname.Parent(z.Name))
	for _, name := range z.Servers {
		parent.extend(l.rr("%s 300 IN NS %s", z.Name, name))
		if dns.IsSubDomain(z.Name, name) {
			parent.glue = append(parent.glue, l.address(name))
		}
	}
	if !z.Unsigned && !z.NoDS {
		ds := z.key.ToDS(cmp.Or(z.Digest, dns.SHA256))
		if z.DS != nil {
			z.DS(ds)
		}
		ds.Hdr.Name, ds.Hdr.Ttl = z.Name, 300
		parent.extend(ds)
	}
}

// home is the zone of a name.
func (l *Lab) home(name string) *zone {
	for above := range dnsname.Up(name) {
		if z := l.zones[above]; z != nil {
			return z
		}
	}
	return nil // there is always a root
}

// listen binds every server's address to one port, UDP and TCP.
func (l *Lab) listen(hooks map[string]Hook) {
	l.t.Helper()
	for attempt := 0; ; attempt++ {
		err := l.tryListen(hooks)
		if err == nil {
			return
		}
		if attempt == 20 {
			l.t.Fatal(err)
		}
	}
}

func (l *Lab) tryListen(hooks map[string]Hook) error {
	var started []*dns.Server
	stop := func() {
		for _, s := range started {
			_ = s.Shutdown()
		}
	}
	l.Port = 0
	for name, s := range l.servers {
		s.hook = hooks[name]
		listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.addr, l.Port)))
		if err != nil {
			stop()
			return err
		}
		l.Port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
		packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.addr, l.Port)))
		if err != nil {
			listener.Close()
			stop()
			return err
		}
		for _, srv := range []*dns.Server{{Listener: listener, Handler: s.handler("tcp")}, {PacketConn: packets, Handler: s.handler("udp")}} {
			ready := make(chan struct{})
			srv.NotifyStartedFunc = func() { close(ready) }
			go srv.ActivateAndServe()
			<-ready
			started = append(started, srv)
		}
	}
	l.t.Cleanup(stop)
	return nil
}

// server is one name server.
type server struct {
	addr  netip.Addr
	zones map[string]*zone
	hook  Hook
}

func (s *server) handler(transport string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := s.answer(q)
		if s.drops(transport, q) {
			return
		}
		if opt := q.IsEdns0(); transport == "udp" {
			size := dns.MinMsgSize
			if opt != nil {
				size = int(opt.UDPSize())
			}
			m.Truncate(size)
		}
		if s.hook != nil {
			m = s.hook(transport, q.Question[0], m)
		}
		if m != nil {
			_ = w.WriteMsg(m)
		}
	}
}

// drops reports whether a zone's firewall drops a question.
func (s *server) drops(transport string, q *dns.Msg) bool {
	z, opt := s.closest(dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype), q.IsEdns0()
	return transport == "udp" && z != nil && z.MaxOffer > 0 && opt != nil && opt.UDPSize() > z.MaxOffer
}

func (s *server) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(1232, opt.Do())
	}
	name, rrtype := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	z := s.closest(name, rrtype)
	if z == nil {
		m.Rcode = dns.RcodeRefused
		return m
	}
	z.answer(m, name, rrtype, q.IsEdns0() != nil && q.IsEdns0().Do())
	return m
}

// closest is the zone of this server that answers for a name: for DS, the parent's side.
func (s *server) closest(name string, rrtype uint16) *zone {
	for first := true; ; first = false {
		z := s.zones[name]
		if z != nil && !(first && rrtype == dns.TypeDS && name != "." && s.closest(dnsname.Parent(name), 0) != nil) {
			return z
		}
		if name == "." {
			return nil
		}
		name = dnsname.Parent(name)
	}
}

type zone struct {
	Zone
	sets    map[string]map[uint16][]dns.RR // by canonical owner
	sigs    map[string][]dns.RR            // by owner and type
	lies    map[dns.RR][]dns.RR            // by the NSEC that they stand for
	names   []string                       // of the NSEC chain
	added   []dns.RR                       // by the lab, to what the test lists
	glue    []dns.RR
	key     *dns.DNSKEY
	private crypto.Signer
}

func (z *zone) add(rr dns.RR) {
	name := dns.CanonicalName(rr.Header().Name)
	rr.Header().Name = name
	if z.sets[name] == nil {
		z.sets[name] = map[uint16][]dns.RR{}
	}
	z.sets[name][rr.Header().Rrtype] = append(z.sets[name][rr.Header().Rrtype], rr)
}

// extend adds a record that the test does not list.
func (z *zone) extend(rr dns.RR) {
	z.added = append(z.added, rr)
	z.add(rr)
}

func (z *zone) makeKey(t testing.TB) {
	t.Helper()
	z.key = &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: z.Name, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: cmp.Or(z.Algorithm, dns.ED25519),
	}
	bits := 256
	if z.key.Algorithm == dns.RSASHA1 || z.key.Algorithm == dns.RSASHA1NSEC3SHA1 {
		bits = 2048
	}
	private, err := z.key.Generate(bits)
	if err != nil {
		t.Fatal(err)
	}
	z.private = private.(crypto.Signer)
	z.add(z.key)
}

// cutAt is the delegation at or above a name in the zone, "" for none.
func (z *zone) cutAt(name string) string {
	cut := ""
	for above := range dnsname.UpTo(name, z.Name) {
		if above != z.Name && z.sets[above][dns.TypeNS] != nil {
			cut = above
		}
	}
	return cut
}

// finish makes the NSEC chain and signs the zone.
func (z *zone) finish(t testing.TB) {
	t.Helper()
	if z.Unsigned {
		return
	}
	for name := range z.sets {
		if cut := z.cutAt(name); cut == "" || cut == name {
			z.names = append(z.names, name)
		}
	}
	slices.SortFunc(z.names, dnsname.Compare)
	all := z.names
	z.names = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == z.Unlinked })
	for i, name := range z.names {
		types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
		for rrtype := range z.sets[name] {
			types = append(types, rrtype)
		}
		if z.Bitmap != nil {
			types = z.Bitmap(name, types)
		}
		slices.Sort(types)
		nsec := &dns.NSEC{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60}, NextDomain: z.names[(i+1)%len(z.names)], TypeBitMap: types}
		z.add(nsec)
		if z.LiesFor != 0 {
			lie := dns.Copy(nsec).(*dns.NSEC)
			lie.TypeBitMap = []uint16{dns.TypeRRSIG, dns.TypeNSEC}
			z.lies[nsec] = []dns.RR{lie, z.sign(t, []dns.RR{lie})}
		}
	}
	for _, name := range all {
		for rrtype, set := range z.sets[name] {
			if rrtype == dns.TypeNS && name != z.Name {
				continue
			}
			z.sigs[key(name, rrtype)] = []dns.RR{z.sign(t, set)}
		}
	}
}

func key(name string, rrtype uint16) string { return fmt.Sprintf("%s %d", name, rrtype) }

func (z *zone) sign(t testing.TB, set []dns.RR) *dns.RRSIG {
	t.Helper()
	now := time.Now()
	sig := &dns.RRSIG{
		Hdr:       dns.RR_Header{Ttl: set[0].Header().Ttl},
		Algorithm: z.key.Algorithm, KeyTag: z.key.KeyTag(), SignerName: z.Name,
		Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(20 * 24 * time.Hour).Unix()),
	}
	sig.TypeCovered = set[0].Header().Rrtype
	if z.Sign != nil {
		z.Sign(sig)
	}
	if err := sig.Sign(z.private, set); err != nil {
		t.Fatal(err)
	}
	return sig
}

// put adds an RRset and its signatures to a section.
func (z *zone) put(section *[]dns.RR, name string, rrtype uint16, do bool) bool {
	set := z.sets[name][rrtype]
	*section = append(*section, set...)
	if do {
		*section = append(*section, z.sigs[key(name, rrtype)]...)
	}
	return len(set) > 0
}

func (z *zone) answer(m *dns.Msg, name string, rrtype uint16, do bool) {
	cut := z.cutAt(name)
	if cut != "" && !(cut == name && rrtype == dns.TypeDS) {
		z.put(&m.Ns, cut, dns.TypeNS, false)
		if do && !z.put(&m.Ns, cut, dns.TypeDS, do) {
			z.put(&m.Ns, cut, dns.TypeNSEC, do)
		}
		m.Extra = append(m.Extra, z.glueFor(cut)...)
		return
	}
	m.Authoritative = true
	switch {
	case z.put(&m.Answer, name, rrtype, do), z.put(&m.Answer, name, dns.TypeCNAME, do):
		return
	case z.sets[name] != nil, z.nonTerminal(name):
		z.deny(m, do, name)
		return
	}
	for encloser := dnsname.Parent(name); ; encloser = dnsname.Parent(encloser) {
		if z.sets[encloser][dns.TypeDNAME] != nil {
			z.put(&m.Answer, encloser, dns.TypeDNAME, do)
			return
		}
		if z.sets[encloser] == nil && !z.nonTerminal(encloser) && encloser != "." {
			continue
		}
		z.fromWildcard(m, do, name, dnsname.Wildcard(encloser), rrtype)
		return
	}
}

// fromWildcard answers for a name that does not exist.
func (z *zone) fromWildcard(m *dns.Msg, do bool, name, wildcard string, rrtype uint16) {
	if z.sets[wildcard] == nil {
		m.Rcode = dns.RcodeNameError
		z.deny(m, do, name, wildcard)
		return
	}
	if z.sets[wildcard][rrtype] == nil {
		rrtype = dns.TypeCNAME
	}
	if !z.put(&m.Answer, wildcard, rrtype, do) {
		z.deny(m, do, name, wildcard)
		return
	}
	for i, rr := range m.Answer {
		m.Answer[i] = dns.Copy(rr)
		m.Answer[i].Header().Name = name
	}
	if do {
		z.covering(&m.Ns, name)
	}
}

func (z *zone) deny(m *dns.Msg, do bool, names ...string) {
	z.put(&m.Ns, z.Name, dns.TypeSOA, do)
	if !do {
		return
	}
	for _, name := range names {
		z.covering(&m.Ns, name)
	}
	if m.Question[0].Qtype == z.LiesFor {
		m.Ns = slices.DeleteFunc(m.Ns, func(rr dns.RR) bool { sig, ok := rr.(*dns.RRSIG); return ok && sig.TypeCovered == dns.TypeNSEC })
		for i, rr := range m.Ns {
			if lie := z.lies[rr]; lie != nil {
				m.Ns[i] = lie[0]
				m.Ns = append(m.Ns, lie[1])
			}
		}
	}
}

// covering adds the NSEC at a name or the one that covers it, once.
func (z *zone) covering(section *[]dns.RR, name string) {
	if len(z.names) == 0 {
		return
	}
	owner := z.names[len(z.names)-1]
	for _, n := range z.names {
		if dnsname.Compare(n, name) <= 0 {
			owner = n
		}
	}
	nsec := z.sets[owner][dns.TypeNSEC][0]
	if !slices.Contains(*section, nsec) {
		z.put(section, owner, dns.TypeNSEC, true)
	}
}

// nonTerminal reports whether names exist below one that has no records (RFC 4592 2.2.2).
func (z *zone) nonTerminal(name string) bool {
	for n := range z.sets {
		if n != name && dns.IsSubDomain(name, n) {
			return true
		}
	}
	return false
}

func (z *zone) glueFor(cut string) []dns.RR {
	var out []dns.RR
	for _, ns := range z.sets[cut][dns.TypeNS] {
		for _, rr := range z.glue {
			if rr.Header().Name == ns.(*dns.NS).Ns {
				out = append(out, rr)
			}
		}
	}
	return out
}
