package caa

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	golog "log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// forgery is what a file's author would like to have in the log.
const forgery = "\n2026/11/30 12:00:00 [INFO] plugin/caa: Serving policy.yaml, revision 0123456789abcdef\x1b[2J\u202e\u009b"

// ourLine is how each line of the log begins. Other tests' are of the same form.
var ourLine = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(INFO|WARNING|ERROR)\] plugin/caa: `)

// logged is what is logged meanwhile. A test that uses it does not run beside others.
func logged(f func()) string {
	var out bytes.Buffer
	defer golog.SetOutput(golog.Writer())
	golog.SetOutput(&out)
	f()
	return out.String()
}

func checkLog(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if !ourLine.MatchString(line) || terminal.Clean(line) != line {
			t.Errorf("logged is %q", line)
		}
	}
}

// checkRefusal checks an error that CoreDNS prints at the start: each line begins with a place in the file, is a remedy,
// or is ours.
func checkRefusal(t *testing.T, err error, file string) {
	t.Helper()
	for line := range strings.SplitSeq(plugin.Error(pluginName, terminal.Error(err)).Error(), "\n") {
		line = strings.TrimPrefix(line, "plugin/caa: ")
		ours := strings.HasPrefix(line, terminal.Clean(file)) || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "and the last good policy, ")
		if !ours || terminal.Clean(line) != line {
			t.Errorf("refused with the line %q in\n%v", line, err)
		}
	}
}

const goodBeforeHostile = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\nzones: {}\n"

// hostileBlock is one whose file has a name like a policy's hostile texts.
func hostileBlock(t *testing.T, next plugin.Handler) (*built, string) {
	t.Helper()
	cfg, _ := configure(t, goodBeforeHostile, "unsigned")
	file := filepath.Join(t.TempDir(), "caa"+strings.ReplaceAll(forgery, "/", "-")+".yaml")
	if err := os.WriteFile(file, []byte(goodBeforeHostile), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.file = file
	b, err := prepare(cfg, cfg.keyring(), next)
	if err != nil {
		t.Fatal(err)
	}
	return b, file
}

// FuzzHostilePolicy: whatever a policy file has in it, and whatever it is called, each line that the loader logs is one
// of ours, and so is each of an error at the start.
func FuzzHostilePolicy(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(binary.BigEndian.AppendUint64(nil, seed*0x9E3779B97F4A7C15))
	}
	next := answers{"": saying(dns.RcodeSuccess, `!example.org. 60 SOA ns.example.org. h.example.org. 1 2 3 4 5`)}
	f.Fuzz(func(t *testing.T, data []byte) {
		text := policygen.Text(rand.New(policygen.Source(data)), policygen.Options{Damage: .2, Hostile: true})
		checkHostile(t, next, text)
	})
}

func checkHostile(t *testing.T, next plugin.Handler, text []byte) {
	t.Helper()
	b, file := hostileBlock(t, next)
	l := b.loader
	clock := time.Now()
	l.layout.now = func() time.Time { return clock }
	checkLog(t, logged(func() {
		if err := b.start(); err != nil {
			t.Fatal(err)
		}
		before := l.block.serving().policy
		write(t, file, string(text))
		l.look()
		l.look()
		clock = clock.Add(time.Minute) // if it is held, it has rested
		l.look()
		if err := reload(l, before); err != nil {
			checkRefusal(t, err, file)
		} else {
			l.greet("127.0.0.1", "53")
		}
		sc := newSelfCheck(l, func(time.Duration) bool { return true })
		sc.run(context.Background(), l.block.serving())
	}))
}

// The input of the issue, and further places where a policy's words come into a message.
func TestHostilePolicies(t *testing.T) {
	quoted := `"x\n2026/11/30 12:00:00 [INFO] plugin/caa: forged\e[2J\u202e\u009b"`
	const head = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\n"
	next := answers{"": saying(dns.RcodeSuccess, `!example.org. 60 SOA ns.example.org. h.example.org. 1 2 3 4 5`)}
	for _, text := range []string{
		"version: 1\nissuers:\n  " + quoted + ": {}\nzones: {example.org: {issue: none}}\n",
		"version: 1\nissuers:\n  " + quoted + ": {domain: letsencrypt.org}\nzones: {example.org: {issue: none}}\n",
		"version: 1\nissuers:\n  " + quoted + ": {domain: letsencrypt.org}\nzones: {example.org: {issue: none}}\ncertificates: [{names: [www.example.org], issuer: " + quoted + "}]\n",
		"version: 1\nissuers: {le: {domain: " + quoted + "}}\nzones: {example.org: {issue: none}}\n",
		head + "zones: {" + quoted + ": {issue: none}}\n",
		head + "zones: {example.org: {issue: [" + quoted + "]}}\n",
		head + "zones: {example.org: {issue: none, names: {" + quoted + ": {issue: none}}}}\n",
		head + "zones: {example.org: {" + quoted + ": none}}\n",
		head + "zones: {example.org: {issue: [le]}}\n" + quoted + ": 1\n",
		head + "zones: {example.org: {issue: [{issuer: le, accounts: [" + quoted + "]}]}}\n",
		head + "zones: {example.org: {issue: [{issuer: le, methods: [" + quoted + "]}]}}\n",
		head + "zones: {example.org: {issue: [le]}}\ncertificates: [{names: [" + quoted + "], issuer: le}]\n",
		head + "zones: {example.org: {issue: [le], iodef: [" + quoted + "]}}\n",
		head + "zones: {example.org: {issue: [le], challenge: " + quoted + "}}\n",
		head + "zones: {example.org: *" + "a\u202e\n",
	} {
		checkHostile(t, next, []byte(text))
	}
}

// What the next plugin says in an error comes into the log of the plugin errors.
func TestHostileErrorsOfTheNextPlugin(t *testing.T) {
	for _, options := range []string{"unsigned", "key auto $DIR/keys"} {
		fails := func(dns.ResponseWriter, *dns.Msg) (int, error) {
			return dns.RcodeServerFailure, errors.New("x" + forgery)
		}
		h, _ := build(t, overlayPolicy, options, answers{"": fails})
		w := new(discard)
		if _, err := h.ServeDNS(context.Background(), w, question("www.example.org.", dns.TypeA)); err == nil || terminal.Clean(err.Error()) != err.Error() {
			t.Errorf("%s: %v", options, err)
		}
	}
}
