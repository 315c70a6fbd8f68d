package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/keys"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/test/world"
)

// The steps of docs/migration.md, done with its Corefiles, policies and commands. A validating resolver keeps its cache
// over the whole migration, and is asked all the while: none of its answers is SERVFAIL, and none is insecure of a zone that
// is to be secure.

// guide has the code blocks of one section of the page, without their indentation.
type guide struct{ corefiles, policies, commands []string }

// section reads those of the section with a number.
func section(t *testing.T, number int) (g guide) {
	t.Helper()
	text, err := os.ReadFile("../../docs/migration.md")
	must(t, err)
	_, after, found := strings.Cut(string(text), fmt.Sprintf("\n## %d. ", number))
	if number == 0 {
		after, found = string(text), true
	}
	if !found {
		t.Fatalf("the page has no section %d", number)
	}
	after, _, _ = strings.Cut(after, "\n## ")
	var block strings.Builder
	indent := 0
	end := func() {
		code := block.String()
		block.Reset()
		switch {
		case strings.HasPrefix(code, "example.org {"):
			g.corefiles = append(g.corefiles, code)
		case strings.HasPrefix(code, "version: "), strings.HasPrefix(code, "removed:"):
			g.policies = append(g.policies, code)
		}
		for line := range strings.Lines(code) {
			if strings.HasPrefix(line, "caacheck ") {
				g.commands = append(g.commands, strings.TrimSpace(line))
			}
		}
	}
	for line := range strings.Lines(after) {
		if block.Len() == 0 {
			indent = len(line) - len(strings.TrimLeft(line, " "))
		}
		if indent >= 4 && strings.HasPrefix(line, strings.Repeat(" ", indent)) {
			block.WriteString(line[indent:])
		} else {
			end()
		}
	}
	end()
	return g
}

// move is a zone that migrates.
type move struct {
	t         *testing.T
	guide     guide
	dir       string // is /etc/coredns and /var/lib/coredns of the page
	parent    *movedParent
	front     *front
	replace   []string // further words of the page, and what the test has instead
	resolver  netip.AddrPort
	server    *world.Process
	reloads   int
	secure    atomic.Bool // every answer must be
	questions atomic.Int64
	stop      func() // ends the questions
}

const (
	// cached is longer than any record of the zone is in a cache.
	cached = 3 * time.Second

	movedData = `$TTL 2
@     SOA  ns1 admin 1 7200 3600 1209600 2
@     NS   ns1
ns1   A    127.0.0.1
www   A    127.0.0.2
alias CNAME www
`
	movedCAA  = "@ CAA 0 issue \"letsencrypt.org\"\n@ CAA 0 issuewild \";\"\n"
	quickRoll = `
        roll propagation 3s
        roll safety 1s
        roll heartbeat 2s
        roll parent-propagation 1s
        roll parent-ttl 1s
        roll data-ttl 2s
        roll poll 1s
        roll backup-age 0s`
)

// newMove begins with a zone whose DS the parent has, "" for none. The zone is served once somebody answers behind the front.
func newMove(t *testing.T, number int, ds ...string) *move {
	t.Helper()
	m := &move{t: t, guide: section(t, number), dir: t.TempDir(), front: newFront(t)}
	m.parent = newMovedParent(t)
	if len(ds) > 0 {
		m.parent.publish(ds...)
	}
	must(t, os.MkdirAll(filepath.Join(m.dir, "keys"), 0o700))
	// Records of the policy have the TTL of the zone.
	world.WriteFile(t, filepath.Join(m.dir, "caa.yaml"), strings.Replace(section(t, 0).policies[0], "version: 1\n", "version: 1\nttl: 2s\n", 1))
	world.WriteFile(t, filepath.Join(m.dir, "db.example.org"), movedData)
	return m
}

// begin asks the resolver until the test ends.
func (m *move) begin() {
	m.t.Helper()
	m.resolver = world.Unbound(m.t, world.Zone{Name: "org", Server: m.parent.addr, Anchor: m.parent.anchor}, world.Zone{Name: "example.org", Server: m.front.addr}).Addr
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond): // a resolver of one core of many tests
				m.ask(n)
			}
		}
	})
	m.stop = sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	m.t.Cleanup(m.stop)
}

// ask asks for a name that exists, an alias, a name that does not exist, or the apex.
func (m *move) ask(n int) {
	types := []uint16{dns.TypeCAA, dns.TypeA, dns.TypeTXT, dns.TypeSOA, dns.TypeDNSKEY, dns.TypeMX}
	names := []string{"www.example.org.", "alias.example.org.", fmt.Sprintf("n%d.example.org.", n), "example.org."}
	q := new(dns.Msg).SetQuestion(names[n/len(types)%len(names)], types[n%len(types)])
	q.SetEdns0(1232, true)
	secure, began := m.secure.Load(), time.Now()
	answer, _, err := world.Query(m.resolver, q)
	m.questions.Add(1)
	switch {
	case err != nil:
		m.t.Error(err)
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		m.t.Errorf("from %s to %s: %v", began.Format("04:05.0"), time.Now().Format("04:05.0"), answer)
	case secure && !answer.AuthenticatedData:
		m.t.Errorf("at %s, insecure: %v", time.Now().Format("04:05.0"), answer)
	}
}

// corefile is the page's, with the test's files and addresses, and waits that are short.
func (m *move) corefile(text string) string {
	text = strings.NewReplacer(append(slices.Clone(m.replace), "/etc/coredns", m.dir, "/var/lib/coredns", m.dir, "example.org {", "example.org:$PORT {\n    bind $ADDR",
		"caa.yaml {", fmt.Sprintf("caa.yaml {\n        ttl 2s\n        parent at %s", m.parent.addr), "/keys\n", "/keys"+quickRoll+"\n")...).Replace(text)
	return strings.ReplaceAll(text, "/var/lib/coredns", m.dir)
}

// serve starts the server with a Corefile of the page, or has it reload one.
func (m *move) serve(text string) {
	m.t.Helper()
	if m.server == nil {
		m.server = world.CoreDNS(m.t, m.corefile(text), nil)
		return
	}
	m.reload(text)
	m.server.WaitLogs(m.t, "Reloading complete", m.reloads)
}

func (m *move) reload(text string) {
	m.t.Helper()
	place := strings.NewReplacer("$PORT", fmt.Sprint(m.server.Addr.Port()), "$ADDR", m.server.Addr.Addr().String())
	world.WriteFile(m.t, filepath.Join(m.server.Dir, "Corefile"), place.Replace(m.corefile(text)))
	m.reloads++
	m.server.Signal(m.t, syscall.SIGUSR1)
}

// refused has the server reload a Corefile that it must refuse.
func (m *move) refused(text, want string) {
	m.t.Helper()
	m.reload(text)
	m.reloads--
	m.server.WaitLog(m.t, want)
}

// governed waits until the resolver has the policy's CAA at the apex.
func (m *move) governed(secure bool) {
	m.t.Helper()
	m.wait("the policy's CAA", func() bool {
		answer := world.Ask(m.t, m.resolver, "example.org", dns.TypeCAA)
		got := world.Texts(answer.Answer, dns.TypeCAA)
		slices.Sort(got)
		return answer.AuthenticatedData == secure && slices.Equal(got, []string{`0 issue "letsencrypt.org"`, `0 issuewild ";"`})
	})
}

// lasts waits until the resolver was asked for everything, some of it twice.
func (m *move) lasts() {
	m.t.Helper()
	n := m.questions.Load()
	m.wait("further questions", func() bool { return m.questions.Load() > n+30 })
}

// end sees the last step last, and ends the questions before any server ends.
func (m *move) end() {
	m.t.Helper()
	m.lasts()
	m.stop()
}

// wait waits for what no log reports.
func (m *move) wait(what string, done func() bool) {
	m.t.Helper()
	for end := time.Now().Add(2 * limit); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatalf("no %s", what)
		}
		if m.t.Failed() {
			m.t.FailNow()
		}
	}
}

// caacheck does what a command of the page does; `go test ./cmd/caacheck` runs the command lines themselves.
func (m *move) caacheck(line string) *keys.Report {
	m.t.Helper()
	if !slices.Contains(m.guide.commands, line) {
		m.t.Fatalf("the page has no command %q: %q", line, m.guide.commands)
	}
	folder := filepath.Join(m.dir, "keys")
	if strings.HasPrefix(line, "caacheck keys insecure ") {
		report, err := keys.Ask(m.t.Context(), folder, "example.org.", keyroll.Request{Verb: keyroll.GoInsecure}, keys.DefaultWait)
		must(m.t, err)
		return report
	}
	report, err := keys.FromFolder(folder, time.Now(), "example.org.")
	must(m.t, err)
	return report
}

// followed publishes the DS that caacheck keys ds prints, while it says that they belong at the parent.
func (m *move) followed(report *keys.Report) bool {
	m.t.Helper()
	var out bytes.Buffer
	code, err := keys.WriteDS(&out, &report.Zones[0])
	must(m.t, err)
	all := dsRecord.FindAllString(out.String(), -1)
	if code != 0 || len(all) == 0 {
		return false
	}
	m.parent.publish(all...)
	return true
}

const (
	showKeys = "caacheck keys /var/lib/coredns/keys example.org"
	showDS   = "caacheck keys ds /var/lib/coredns/keys example.org"
)

// inUse waits until the folder has keys in these states, and no others that are in use.
func (m *move) inUse(follow bool, want ...string) {
	m.t.Helper()
	slices.Sort(want)
	m.wait("keys "+strings.Join(want, ", "), func() bool {
		report := m.caacheck(showKeys)
		if follow {
			m.followed(m.caacheck(showDS))
		}
		var have []string
		for _, k := range report.Zones[0].Keys {
			if k.State != keyroll.Removed.String() {
				have = append(have, fmt.Sprintf("%v %v", k.Role, k.State))
			}
		}
		slices.Sort(have)
		return slices.Equal(have, want)
	})
}

// movedParent is org on BIND, which signs it; the DS of example.org are whatever was published last.
type movedParent struct {
	t      *testing.T
	addr   netip.AddrPort
	anchor string
}

func newMovedParent(t *testing.T) *movedParent {
	t.Helper()
	named := world.SigningNamed(t, "org", "$TTL 1\n@ SOA a.nic.org. h.org. 1 2 3 4 1\n@ NS a.nic.org.\na.nic A 127.0.0.1\nexample NS ns1.example\nns1.example A 127.0.0.1\n")
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if all, err := askDNSKEY(named.Addr, "org."); err == nil && len(all) > 0 {
			return &movedParent{t, named.Addr, all[0].ToDS(dns.SHA256).String()}
		}
	}
	t.Fatal("named does not sign")
	return nil
}

// publish replaces the DS of example.org (RFC 2136).
func (p *movedParent) publish(all ...string) {
	p.t.Helper()
	m := new(dns.Msg).SetUpdate("org.")
	m.RemoveRRset([]dns.RR{&dns.DS{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeDS, Class: dns.ClassINET}}})
	for _, text := range all {
		rr, err := dns.NewRR(text)
		must(p.t, err)
		rr.Header().Ttl = 1
		m.Insert([]dns.RR{rr})
	}
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		answer, _, err := (&dns.Client{Net: "tcp", Timeout: limit}).Exchange(m, p.addr.String())
		if err == nil && answer.Rcode == dns.RcodeSuccess {
			return
		}
		if err != nil || answer.Rcode != dns.RcodeServerFailure || time.Now().After(end) { // SERVFAIL: it signs for the first time
			p.t.Fatalf("update of DS at named: %v, %v", err, answer)
		}
	}
}

// front is the address that the delegation leads to. Behind it are the servers of the moment, asked in turn as a
// resolver does that knows them all.
type front struct {
	addr    netip.AddrPort
	servers atomic.Pointer[[]netip.AddrPort]
	turn    atomic.Int64
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := new(front)
	packets, listener := f.listen(t)
	var wg sync.WaitGroup
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: f}, {Listener: listener, Handler: f}} {
		wg.Go(func() { _ = server.ActivateAndServe() }) // until the sockets are closed
	}
	t.Cleanup(func() {
		closeAll(packets, listener)
		wg.Wait()
	})
	return f
}

// listen takes a port that is free; between FreeAddr and that some connection may go out by it.
func (f *front) listen(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 10 {
		addr, packets := world.TakenAddr(t)
		if listener, err := net.Listen("tcp", addr.String()); err == nil {
			f.addr = addr
			return packets, listener
		}
		packets.Close()
	}
	t.Fatal("no port is free for TCP")
	return nil, nil
}

func closeAll(all ...io.Closer) {
	for _, c := range all {
		c.Close()
	}
}

func (f *front) to(servers ...netip.AddrPort) { f.servers.Store(&servers) }

// ServeDNS hands a question on. Where nobody answers, nobody does.
func (f *front) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	servers := *f.servers.Load()
	server := servers[int(f.turn.Add(1))%len(servers)]
	client := dns.Client{Net: w.RemoteAddr().Network(), Timeout: limit, UDPSize: dns.MaxMsgSize}
	answer, _, err := client.Exchange(q, server.String())
	if err == nil {
		answer.Compress = true
		_ = w.WriteMsg(answer) // a resolver that has gone does not matter
	}
}

// delv checks as the page says.
func (m *move) delv(ds ...string) {
	m.t.Helper()
	for i, text := range ds {
		rr, err := dns.NewRR(text)
		must(m.t, err)
		ds[i] = keyroll.TextOf(rr.(*dns.DS)) // without a TTL
	}
	wantValidated(m.t, world.Zone{Name: "example.org", Server: m.server.Addr, Anchor: strings.Join(ds, "\n")}, "www.example.org", "CAA", `0 issue "letsencrypt.org"`)
}

// sign does steps 2 and 3 of section 2: with key auto, and the DS when it is time.
func (m *move) sign(corefile string) {
	m.t.Helper()
	m.serve(corefile)
	m.server.WaitLog(m.t, "Publish at the parent: example.org.")
	if !m.followed(m.caacheck(showDS)) {
		m.t.Fatal("caacheck keys ds says that it is too early, the log does not")
	}
	m.governed(true)
	m.inUse(false, "CSK active")
	m.delv(anchorDS(m.t, m.server.Addr)...)
	time.Sleep(cached) // what the resolver took when there was no DS
	m.secure.Store(true)
}

// anchorDS are the DS of the SEP keys that a server has.
func anchorDS(t *testing.T, addr netip.AddrPort) (all []string) {
	t.Helper()
	for _, key := range dnskeysAt(t, addr, "example.org.") {
		if key.Flags&dns.SEP != 0 {
			all = append(all, keyroll.TextOf(key.ToDS(dns.SHA256)))
		}
	}
	return all
}

// 1: the first load refuses what would lock out a CA, and removed gives it up.
func TestMigrationLookFirst(t *testing.T) {
	t.Parallel()
	g, policy := section(t, 1), section(t, 0).policies[0]
	if len(g.policies) != 1 {
		t.Fatalf("%q", g.policies)
	}
	data := movedData + "@ CAA 0 issue \"letsencrypt.org\"\nshop CAA 0 issue \"digicert.com\"\n"
	corefile := "example.org:$PORT {\n    bind $ADDR\n    caa $DIR/caa.yaml {\n        unsigned\n    }\n    file $DIR/db.example.org\n}\n"
	if out := world.RunCoreDNS(t, corefile, map[string]string{"caa.yaml": policy, "db.example.org": data}); !strings.Contains(out, "shop.example.org: digicert.com cannot issue") {
		t.Errorf("it refuses for another reason:\n%s", out)
	}
	world.CoreDNS(t, corefile, map[string]string{"caa.yaml": policy + g.policies[0], "db.example.org": data})
}

// 2: an unsigned zone in CoreDNS. It is signed, and its key serves dnssec in the end.
func TestMigrationFromUnsigned(t *testing.T) {
	t.Parallel()
	m := newMove(t, 2)
	m.serve(m.guide.corefiles[0])
	m.front.to(m.server.Addr)
	m.begin()
	m.serve(m.guide.corefiles[1])
	m.governed(false)
	m.serve(m.guide.corefiles[0]) // and back
	m.serve(m.guide.corefiles[1])
	m.sign(m.guide.corefiles[2])
	m.refused(m.guide.corefiles[1], "no served key matches the parent's DS")

	// 7: the key of the folder, with dnssec.
	world.WriteFile(t, filepath.Join(m.dir, "db.example.org"), strings.Replace(movedData, " 1 7200", " 2 7200", 1)+movedCAA)
	files, err := filepath.Glob(filepath.Join(m.dir, "keys", "K*.private"))
	must(t, err)
	m.replace = []string{"/etc/coredns/Kexample.org.+013+45330", strings.TrimSuffix(files[0], ".private")}
	m.serve(section(t, 7).corefiles[0])
	m.governed(true)
	m.end()
}

// 3: an unsigned zone in BIND, which becomes the hidden primary.
func TestMigrationFromBIND(t *testing.T) {
	t.Parallel()
	m := newMove(t, 3)
	bind := world.Named(t, map[string]string{"example.org": movedData}).Addr
	m.replace = []string{"192.0.2.53", bind.String()}
	m.front.to(bind)
	m.begin()
	m.serve(m.guide.corefiles[0])
	m.server.WaitLog(t, "Transferred: example.org.")
	m.front.to(bind, m.server.Addr)
	m.wait("the policy's CAA of one of the servers", func() bool { return len(world.Ask(t, m.resolver, "example.org", dns.TypeCAA).Answer) > 0 })
	m.front.to(m.server.Addr)
	m.governed(false)
	m.guide.commands = section(t, 2).commands
	m.sign(strings.Replace(m.guide.corefiles[0], "unsigned", "key auto /var/lib/coredns/keys", 1))
	m.end()
}

// 4 and 7: a zone that CoreDNS's dnssec signs with a key file, and back to dnssec.
func TestMigrationFromDNSSEC(t *testing.T) {
	t.Parallel()
	key := world.NewKey(t, "example.org")
	m := newMove(t, 4, key.DS)
	m.replace = []string{"Kexample.org.+013+45330", key.Name}
	for name, text := range key.Files {
		world.WriteFile(t, filepath.Join(m.dir, name), text)
	}
	m.serve(m.guide.corefiles[0])
	m.front.to(m.server.Addr)
	m.begin()
	m.wait("secure answer", func() bool { return world.Ask(t, m.resolver, "www.example.org", dns.TypeA).AuthenticatedData })
	m.secure.Store(true)
	m.serve(m.guide.corefiles[1])
	m.governed(true)
	m.delv(key.DS)

	world.WriteFile(t, filepath.Join(m.dir, "db.example.org"), strings.Replace(movedData, " 1 7200", " 2 7200", 1)+movedCAA)
	m.serve(section(t, 7).corefiles[0])
	m.governed(true)
	m.end()
}

// 5: a zone that BIND has signed, in a file or transferred.
func TestMigrationFromSigned(t *testing.T) {
	t.Parallel()
	algorithm := []string{"-a", "ECDSAP256SHA256"}
	t.Run("file, key file", func(t *testing.T) {
		t.Parallel()
		m, ksk, zsk := newSigned(t, 5, algorithm)
		m.replace = []string{"/etc/coredns/Kexample.org.+013+11111", ksk, "/etc/coredns/Kexample.org.+013+22222", zsk}
		m.serve(m.guide.corefiles[1])
		m.governed(true)
		m.delv(anchorDS(t, m.server.Addr)...)
		m.unsignedData()
		m.serve(m.guide.corefiles[0]) // and back
		m.wait("signature of the data", func() bool { return len(dnskeysAt(t, m.server.Addr, "example.org.")) == 2 })
		m.end()
	})
	t.Run("file, key auto", func(t *testing.T) {
		t.Parallel()
		m, _, _ := newSigned(t, 5, algorithm)
		m.serve(m.guide.corefiles[2])
		m.governed(true)
		m.inUse(false, "KSK active", "ZSK active")
		m.delv(anchorDS(t, m.server.Addr)...)
		m.end()
	})
	t.Run("transferred, key auto", func(t *testing.T) {
		t.Parallel()
		m := newMove(t, 5)
		bind := world.SigningNamed(t, "example.org", movedData)
		m.replace = []string{"file /etc/coredns/db.example.org.signed", "secondary {\n        transfer from " + bind.Addr.String() + "\n    }", "        roll keys split\n", ""}
		m.wait("key of BIND", func() bool { return len(dnskeysAt(t, bind.Addr, "example.org.")) > 0 })
		m.serve(m.guide.corefiles[0])
		m.server.WaitLog(t, "Transferred: example.org.")
		m.front.to(m.server.Addr)
		m.parent.publish(anchorDS(t, bind.Addr)...)
		m.begin()
		m.wait("secure answer", func() bool { return world.Ask(t, m.resolver, "www.example.org", dns.TypeA).AuthenticatedData })
		m.secure.Store(true)
		files, err := filepath.Glob(filepath.Join(bind.Dir, "Kexample.org.*"))
		must(t, err)
		for _, file := range files {
			copyFile(t, file, filepath.Join(m.dir, "keys", filepath.Base(file)))
		}
		m.serve(m.guide.corefiles[2])
		m.governed(true)
		m.inUse(false, "CSK active")
		m.end()
	})
}

// unsignedData replaces the signed file by one that is not, which changes nothing, and puts it back.
func (m *move) unsignedData() {
	m.t.Helper()
	file := filepath.Join(m.dir, "db.example.org.signed")
	signed, err := os.ReadFile(file)
	must(m.t, err)
	world.WriteFile(m.t, file, strings.Replace(movedData, " 1 7200", " 2 7200", 1))
	m.serve(m.guide.corefiles[1])
	m.lasts()
	world.WriteFile(m.t, file, string(signed))
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	world.WriteFile(t, to, string(text))
}

// newSigned begins with a zone that dnssec-signzone has signed by a KSK and a ZSK, whose files are in the folder of keys.
func newSigned(t *testing.T, number int, algorithm []string) (m *move, ksk, zsk string) {
	t.Helper()
	m = newMove(t, number)
	folder := filepath.Join(m.dir, "keys")
	args := append(slices.Clone(algorithm), "-L", "2")
	ksk, zsk = keygen(t, folder, append(args, "-f", "KSK")...), keygen(t, folder, args...)
	signed := filepath.Join(m.dir, "db.example.org.signed")
	sign := exec.CommandContext(t.Context(), world.Program(t, "dnssec-signzone"),
		"-S", "-P", "-Q", "-K", folder, "-d", t.TempDir(), "-o", "example.org", "-f", signed, filepath.Join(m.dir, "db.example.org"))
	sign.Dir = t.TempDir()
	if out, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("dnssec-signzone: %v\n%s", err, out)
	}
	m.parent.publish(keyroll.TextOf(publicKey(t, ksk).ToDS(dns.SHA256)))
	m.serve(section(t, 5).corefiles[0])
	m.front.to(m.server.Addr)
	m.begin()
	m.wait("secure answer", func() bool { return world.Ask(t, m.resolver, "www.example.org", dns.TypeA).AuthenticatedData })
	m.secure.Store(true)
	return m, ksk, zsk
}

// 6: keys by RSASHA256 that are taken over roll to another algorithm.
func TestMigrationToAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	m, _, _ := newSigned(t, 6, []string{"-a", "RSASHA256", "-b", "2048"})
	m.serve(m.guide.corefiles[0])
	m.governed(true)
	m.inUse(false, "KSK active", "ZSK active")
	m.serve(m.guide.corefiles[1])
	m.inUse(true, "CSK active")
	m.governed(true)
	m.delv(anchorDS(t, m.server.Addr)...)
	m.end()
}

// 7: back to an unsigned zone without the plugin, with key auto and with key file.
func TestMigrationBackToUnsigned(t *testing.T) {
	t.Parallel()
	t.Run("key auto", func(t *testing.T) {
		t.Parallel()
		m := newMove(t, 7)
		world.WriteFile(t, filepath.Join(m.dir, "db.example.org"), movedData+movedCAA)
		two := section(t, 2)
		m.guide.commands = append(m.guide.commands, two.commands...)
		m.serve(two.corefiles[2])
		m.front.to(m.server.Addr)
		m.begin()
		m.sign(two.corefiles[2])
		m.secure.Store(false)
		m.caacheck("caacheck keys insecure /var/lib/coredns/keys example.org")
		m.wait("CDS that asks for the removal", func() bool {
			cds := world.Texts(world.Ask(t, m.server.Addr, "example.org", dns.TypeCDS).Answer, dns.TypeCDS)
			return len(cds) == 1 && strings.HasPrefix(cds[0], "0 0 0 ")
		})
		m.parent.publish()
		m.wait("insecure zone", func() bool { return m.caacheck(showKeys).Zones[0].Status == keys.Insecure })
		m.serve(m.guide.corefiles[1])
		m.governed(false)
		m.end()
	})
	t.Run("key file", func(t *testing.T) {
		t.Parallel()
		key := world.NewKey(t, "example.org")
		m := newMove(t, 4, key.DS)
		m.replace = []string{"Kexample.org.+013+45330", key.Name}
		for name, text := range key.Files {
			world.WriteFile(t, filepath.Join(m.dir, name), text)
		}
		m.serve(m.guide.corefiles[1])
		m.front.to(m.server.Addr)
		m.begin()
		m.governed(true)
		m.secure.Store(true)
		unsigned := section(t, 2).corefiles[1]
		m.refused(unsigned, "no served key matches the parent's DS")
		m.secure.Store(false)
		m.parent.publish()
		m.wait("insecure answer", func() bool { return !world.Ask(t, m.resolver, "example.org", dns.TypeCAA).AuthenticatedData })
		m.serve(unsigned)
		m.governed(false)
		m.end()
	})
}
