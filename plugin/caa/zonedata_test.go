package caa

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

// Policies of one block for corp.example and data.example, whose next plugin serves the latter.
const (
	corpComplete = `version: 1
issuers: {le: {domain: letsencrypt.org}}
certificates: [{names: [vpn.corp.example], issuer: le}]
zones:
  data.example: {issue: [le]}
  corp.example:
    issue: [le]
    nameservers: [{name: ns1.corp.example, addresses: [192.0.2.1]}]
`
	corpOverlay  = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ncertificates: [{names: [vpn.corp.example], issuer: le}]\nzones:\n  data.example: {issue: [le]}\n  corp.example: {issue: [le]}\n"
	corpAbsent   = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones:\n  data.example: {issue: [le]}\n"
	corpUnneeded = corpAbsent + "  corp.example: {issue: [le]}\n"
	corpDefault  = corpAbsent + "default: {issue: [le]}\ncertificates: [{names: [vpn.corp.example], issuer: le}]\n"
)

// A zone above corp.example, and it.
const (
	aboveCorp = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ncertificates: [{names: [vpn.corp.example], issuer: le}]\nzones:\n  example: {issue: [le]}\n"
	corpZone  = "  corp.example: {issue: [le], nameservers: [{name: ns1.corp.example, addresses: [192.0.2.1]}]}\n"
)

// unneeded is a policy without what it requires.
func unneeded(policy string) string {
	return strings.Replace(policy, "certificates: [{names: [vpn.corp.example], issuer: le}]\n", "", 1)
}

var completeWithout = unneeded(corpComplete)

// delegating is a next plugin that has the zone above, with a delegation of corp.example.
func delegating(server string) answers {
	return answers{"": resolving(0, "!corp.example. 60 IN NS "+server)}
}

// onlyData is a next plugin that serves data.example, and answers for the rest as it is given.
func onlyData(rest func(dns.ResponseWriter, *dns.Msg) (int, error)) answers {
	const soa = "data.example. 60 IN SOA ns. h. 7 1 1 1 60"
	return answers{"data.example. SOA": saying(0, soa), "data.example.": saying(0, "!"+soa), "": rest}
}

// resolving is what a resolver answers with: nothing of it is authoritative.
func resolving(rcode int, records ...string) func(dns.ResponseWriter, *dns.Msg) (int, error) {
	return func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
		return saying(rcode, records...)(passive{w}, r)
	}
}

type passive struct{ dns.ResponseWriter }

func (w passive) WriteMsg(m *dns.Msg) error {
	m.Authoritative = false
	return w.ResponseWriter.WriteMsg(m)
}

// A zone that nobody has the data of is not taken at a reload: what was served for it stays.
func TestReloadWithoutData(t *testing.T) {
	t.Parallel()
	const (
		corpSOA = "corp.example. 60 IN SOA ns. h. 7 1 1 1 60"
		refused = "the zone has no nameservers, and the next plugin does not have its data"
	)
	nobody := onlyData(code(dns.RcodeRefused, nil))
	ourselves := buildIn(t, ".", corpComplete, "unsigned", answers{})
	for name, c := range map[string]struct {
		before, after, options string
		next                   plugin.Handler
		want                   string // "" when it is taken
	}{
		"nameservers taken away":             {corpComplete, corpOverlay, "", nobody, refused},
		"nothing is required":                {completeWithout, corpUnneeded, "", nobody, refused},
		"taken away, the operator's issuer":  {completeWithout, corpUnneeded, "issuer letsencrypt.org corp.example", nobody, refused},
		"the zone goes, and has the default": {corpComplete, corpDefault, "", nobody, refused},
		"the zone goes, required here":       {corpComplete, corpAbsent, "", nobody, "no zone of the policy answers for it"},
		"the plugin fails":                   {corpComplete, corpOverlay, "", onlyData(code(dns.RcodeServerFailure, nil)), "SERVFAIL"},
		"the plugin fails with an error":     {corpComplete, corpOverlay, "", onlyData(code(dns.RcodeServerFailure, errors.New("it is unwell"))), "it is unwell"},
		"the plugin writes SERVFAIL":         {corpComplete, corpOverlay, "", onlyData(saying(dns.RcodeServerFailure)), "it answered SERVFAIL"},
		"the plugin writes REFUSED":          {corpComplete, corpOverlay, "", onlyData(saying(dns.RcodeRefused)), "it answered REFUSED"},
		"a resolver knows no such name":      {corpComplete, corpOverlay, "", onlyData(resolving(3, "!example. 60 IN SOA ns. h. 7 1 1 1 60")), refused},
		"the zone above has no such name":    {corpComplete, corpOverlay, "", onlyData(saying(3, "!example. 60 IN SOA ns. h. 7 1 1 1 60")), "it answers from the zone example"},
		"the zone above delegates it":        {corpComplete, corpOverlay, "", onlyData(resolving(0, "!corp.example. 60 IN NS ns1.corp.example.")), refused},
		"a resolver that asked ourselves": {corpComplete, corpOverlay, "", onlyData(func(w dns.ResponseWriter, r *dns.Msg) (int, error) {
			return ourselves.ServeDNS(context.Background(), passive{w}, r)
		}), "its answer is this server's own answer"},
		"a plugin has the zone":                      {corpComplete, corpOverlay, "", onlyData(saying(0, corpSOA)), ""},
		"a resolver has the zone":                    {corpComplete, corpOverlay, "", onlyData(resolving(0, corpSOA)), ""},
		"a plugin without SOA has a required name":   {corpComplete, corpOverlay, "", onlyDataAnd("vpn.corp.example. A", saying(0, "vpn.corp.example. 60 IN A 192.0.2.7")), ""},
		"a plugin without SOA has a name of its own": {completeWithout, corpUnneeded, "", onlyDataAnd("corp.example.", saying(0)), ""},
		"a new zone, required":                       {corpAbsent, corpOverlay, "", nobody, refused},
		"a new zone, by the operator":                {corpAbsent, corpUnneeded, "issuer letsencrypt.org", nobody, refused},
		"a new zone, not required":                   {corpAbsent, corpUnneeded, "", nobody, ""},
		"a new zone that a plugin has":               {corpAbsent, corpOverlay, "", onlyData(saying(0, corpSOA)), ""},
		"an overlay whose data have gone meanwhile":  {corpOverlay, corpOverlay + "  x.example: {issue: [le], nameservers: [{name: ns.example.net}]}\n", "", nobody, ""},
		"an overlay becomes complete":                {corpOverlay, corpComplete, "", nobody, ""},
		"nothing of it changes":                      {corpComplete, corpComplete + "  x.example: {issue: [le], nameservers: [{name: ns.example.net}]}\n", "", nobody, ""},
		"the zone goes, delegated to this server":    {aboveCorp + corpZone, aboveCorp, "", delegating("ns1.corp.example."), "would be a lame delegation"},
		"the same, required by the operator":         {unneeded(aboveCorp + corpZone), unneeded(aboveCorp), "issuer letsencrypt.org x.corp.example", delegating("ns1.corp.example."), "would be a lame delegation"},
		"the same, not required":                     {unneeded(aboveCorp + corpZone), unneeded(aboveCorp), "", delegating("ns1.corp.example."), ""},
		"the zone goes to other servers":             {aboveCorp + corpZone, aboveCorp, "", delegating("ns.example.net."), ""},
		"the zone goes with its delegation":          {aboveCorp + corpZone, aboveCorp, "", onlyDataAnd("", saying(0, "!example. 60 IN SOA ns. h. 7 1 1 1 60")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zones := "."
			if c.after == corpDefault {
				zones = "data.example corp.example"
			}
			h := buildIn(t, zones, c.before, "unsigned\n"+c.options, answers{})
			h.loader.layout.next = c.next
			write(t, h.loader.cfg.file, c.after)
			was := h.loader.block.serving()
			err := reload(h.loader, was.policy)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v; want %q", err, c.want)
			case c.want != "" && h.loader.block.serving() != was:
				t.Error("another policy is served")
			}
		})
	}
}

// onlyDataAnd is onlyData with one more answer; for the rest no plugin has data.
func onlyDataAnd(key string, answer func(dns.ResponseWriter, *dns.Msg) (int, error)) answers {
	a := onlyData(code(dns.RcodeRefused, nil))
	a[key] = answer
	return a
}

// What was refused for want of data is judged again until the data are there, whether or not the file is looked at
// again: a secondary may have been waiting for its transfer, or auto for a file.
func TestWaitingForData(t *testing.T) {
	t.Parallel()
	for _, reload := range []string{"", "reload off"} {
		const soa = "corp.example. 60 IN SOA ns. h. 7 1 1 1 60"
		options := "unsigned\nstate $DIR/state\n" + reload
		h := buildIn(t, ".", corpComplete, options, answers{})
		clock := time.Now()
		start := func(next plugin.Handler) *loader { // as after a restart
			b, err := prepare(h.loader.cfg, h.loader.cfg.keyring(), next)
			if err != nil {
				t.Fatal(err)
			}
			b.loader.layout.now = func() time.Time { return clock }
			if err := b.start(); err != nil {
				t.Fatal(err)
			}
			return b.loader
		}
		write(t, h.loader.cfg.file, corpOverlay)
		next := onlyData(code(dns.RcodeServerFailure, nil))
		l := start(next)
		for range 2 {
			if !l.block.serving().zones.Zone("corp.example.").PolicyOnly() || l.source.Status().Refusals != 1 {
				t.Fatal("the last good policy is not served, or nobody is informed")
			}
			l.source.Tick()
		}
		if again := start(next); !again.block.serving().zones.Zone("corp.example.").PolicyOnly() {
			t.Fatal("it has become the last good policy")
		}
		next["corp.example. SOA"] = saying(0, soa)
		l.source.Tick() // too soon
		if !l.block.serving().zones.Zone("corp.example.").PolicyOnly() {
			t.Error("the next plugin is asked all the time")
		}
		clock = clock.Add(10 * time.Second)
		l.source.Tick()
		if l.block.serving().zones.Zone("corp.example.").PolicyOnly() || l.source.Status().Refusals != 0 || l.source.Status().Problem != "" {
			t.Error("the policy is not served though the data are there")
		}
		if again := start(answers{}); again.block.serving().zones.Zone("corp.example.").PolicyOnly() {
			t.Error("it is not the last good policy")
		}
	}
}

// A first start keeps nothing that could be served in the policy's place, and a next plugin may have the data only
// later: it is for the self-check to report.
func TestStartWithoutData(t *testing.T) {
	t.Parallel()
	h := buildIn(t, ".", corpOverlay, "unsigned", onlyData(code(dns.RcodeServerFailure, nil)))
	if sc := runOnce(h); h.Ready() || len(sc.failing) == 0 {
		t.Errorf("ready %v, found %v", h.Ready(), sc.failing)
	}
}

// A refusal for want of data is one of the guard's: with place, names and remedy.
func TestWithoutDataSaysWhere(t *testing.T) {
	t.Parallel()
	h := buildIn(t, ".", corpComplete, "unsigned", onlyData(code(dns.RcodeRefused, nil)))
	write(t, h.loader.cfg.file, corpOverlay)
	err := reload(h.loader, h.loader.block.serving().policy)
	var refused *guard.Error
	if !errors.As(err, &refused) || len(refused.Report.Refusals) != 1 {
		t.Fatalf("got %v", err)
	}
	r := refused.Report.Refusals[0]
	if r.Code != "no-data" || r.Pos.Line != 6 || strings.Join(r.Names, " ") != "corp.example vpn.corp.example" || !strings.Contains(r.Fix, "nameservers") {
		t.Errorf("got %+v", r)
	}
}

// reload judges the policy file as it is now, and serves it if it is accepted.
func reload(l *loader, previous *policy.Snapshot) error {
	text, err := os.ReadFile(l.cfg.file)
	if err != nil {
		return err
	}
	p, err := policy.Load(l.cfg.file, text)
	if err != nil {
		return err
	}
	c, err := l.Prove(context.Background(), p, previous)
	if err != nil {
		return err
	}
	return l.Serve(c, func() {})
}

// writeAgain writes the policy file again as it is, so that it is judged again.
func writeAgain(t *testing.T, l *loader) {
	t.Helper()
	text, err := os.ReadFile(l.cfg.file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l.cfg.file, string(text))
	l.look()
	l.look()
}
