package overlay

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/wire"
	"github.com/coredns-caa/caa/test/world"
)

const (
	changes = 40
	askers  = 4
	// changing is a zone file whose data say which change they are of. It has no alias: for one, the
	// plugin file of CoreDNS 1.15.0 reads a zone that it is changing without its lock (lookup.go:430), which
	// the race detector reports.
	changing = `$ORIGIN example.org.
$TTL 1
@      SOA ns1 hostmaster %[1]d 7200 3600 1209600 1
@      NS  ns1
ns1    A   127.0.0.1
www    A   192.0.2.%[1]d
www    TXT "%[1]d"
*.wild TXT "%[1]d"
new%[1]d TXT "%[1]d"
`
	changingPolicy = `version: 1
issuers: {letsencrypt: {domain: letsencrypt.org}}
zones: {example.org: {issue: [letsencrypt]}}
`
)

// The data change forty times while resolvers and we ask all the while. From the moment that the plugin
// file says it has new data, our answers have them; no answer is ever one that does not validate.
func TestDataChangeUnderLoad(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "example.org")
	files := map[string]string{"policy.yaml": changingPolicy, "db": fmt.Sprintf(changing, 1)}
	maps.Copy(files, key.Files)
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file $DIR/`+key.Name+`
    }
    file $DIR/db {
        reload 100ms
    }
}
`, files)
	zone := world.Zone{Name: "example.org", Server: server.Addr, Anchor: key.DS}
	l := &load{t: t, server: server.Addr, zones: wire.Zones{{Apex: "example.org.", Keys: dnskeys(t, server.Addr, "example.org.")}}}
	for _, start := range world.Variants {
		l.resolvers = append(l.resolvers, start(t, zone).Addr)
	}

	l.change.Store(1)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for i := range askers {
		group.Go(func() { l.ask(ctx, rand.New(rand.NewPCG(uint64(i), 4035))) })
	}
	for n := 2; n <= changes && !t.Failed(); n++ {
		world.WriteFile(t, filepath.Join(server.Dir, "db"), fmt.Sprintf(changing, n))
		server.WaitLog(t, fmt.Sprintf("Successfully reloaded zone \"example.org.\" in %q with %d SOA serial", filepath.Join(server.Dir, "db"), n))
		l.change.Store(int64(n))
	}
	stop()
	group.Wait()
	t.Logf("%d questions", l.asked.Load())
}

// load asks while data change.
type load struct {
	t         *testing.T
	server    netip.AddrPort
	zones     wire.Zones
	resolvers []netip.AddrPort
	change    atomic.Int64 // the one that is known to be served
	asked     atomic.Int64
}

var underLoad = []dns.Question{
	{Name: "www.example.org.", Qtype: dns.TypeTXT}, {Name: "www.example.org.", Qtype: dns.TypeA}, {Name: "www.example.org.", Qtype: dns.TypeCAA},
	{Name: "www.example.org.", Qtype: dns.TypeMX}, {Name: "q.wild.example.org.", Qtype: dns.TypeTXT},
	{Name: "nowhere.example.org.", Qtype: dns.TypeCAA}, {Name: "example.org.", Qtype: dns.TypeSOA},
}

// ask asks until it is stopped or something is wrong.
func (l *load) ask(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil && !l.t.Failed() {
		q := underLoad[random.IntN(len(underLoad))]
		l.direct(q)
		l.through(l.resolvers[random.IntN(len(l.resolvers))], q)
		l.asked.Add(2)
	}
}

func (l *load) exchange(server netip.AddrPort, q dns.Question) (asked, m *dns.Msg, packed []byte, ok bool) {
	asked = new(dns.Msg).SetQuestion(q.Name, q.Qtype)
	asked.SetEdns0(1232, true)
	m = new(dns.Msg)
	packed, err := world.Send(server, asked)
	if err == nil {
		err = m.Unpack(packed)
	}
	if err != nil {
		l.t.Error(err)
	}
	return asked, m, packed, err == nil
}

// direct asks our server, whose answers have the last change or a later one.
func (l *load) direct(q dns.Question) {
	known := l.change.Load()
	asked, m, packed, ok := l.exchange(l.server, q)
	if !ok {
		return
	}
	meaning, faults := l.zones.Check(asked, packed, time.Now())
	if len(faults) > 0 || meaning.Kind == wire.Failure {
		l.t.Errorf("%v, %v in\n%v", meaning.Kind, faults, m)
	}
	for _, rr := range m.Answer {
		var change int64
		switch rr := rr.(type) {
		case *dns.TXT:
			_, _ = fmt.Sscan(rr.Txt[0], &change) // the zone's own words
		case *dns.A:
			change = int64(rr.A.To4()[3])
		case *dns.SOA:
			change = int64(rr.Serial)
		default:
			continue
		}
		if change < known {
			l.t.Errorf("change %d is served: %v", known, rr)
		}
	}
}

// through asks a resolver, which must find every answer authentic.
func (l *load) through(resolver netip.AddrPort, q dns.Question) {
	_, m, _, ok := l.exchange(resolver, q)
	if ok && m.Rcode == dns.RcodeServerFailure && !saysBogus(m) {
		_, m, _, ok = l.exchange(resolver, q) // a busy machine: it had no answer in time
	}
	if !ok {
		return
	}
	exists := !strings.HasPrefix(q.Name, "nowhere") && q.Qtype != dns.TypeMX
	if m.Rcode != dns.RcodeSuccess || !m.AuthenticatedData || exists != (len(m.Answer) > 0) {
		l.t.Errorf("at the resolver %v:\n%v", resolver, m)
	}
}
