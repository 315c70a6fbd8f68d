package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// DESIGN 1, BR 4.2.2.2: a zone whose parent has a DS that names none of the keys served here is refused, at the
// start and at a reload, however it is signed or not, unless the Corefile says that it is meant; with key auto at the start
// that zone alone. A parent that does not answer refuses nothing, but a zone without keys waits for it. The parent is BIND.
func TestParentsDS(t *testing.T) {
	t.Parallel()
	ours, foreign := world.NewKey(t, "example.org"), world.NewKey(t, "example.org")
	parent := func(ds ...string) string {
		zone := "$TTL 60\n@ SOA a.nic.org. h.org. 1 2 3 4 1\n@ NS a.nic.org.\na.nic A 127.0.0.1\nexample NS ns.example\nns.example A 127.0.0.1\n"
		return world.Named(t, map[string]string{"org": zone + strings.Join(ds, "\n") + "\n"}).Addr.String()
	}
	files := map[string]string{"policy.yaml": policyOnly}
	for name, text := range ours.Files {
		files[name] = text
	}
	none, named, another, both := parent(), parent(ours.DS), parent(foreign.DS), parent(foreign.DS, ours.DS)
	dead := world.FreeAddr(t).String()
	const refusal = "no served key matches the parent's DS"
	for name, c := range map[string]struct{ lines, parent, refused, logged string }{
		"key file, no DS":             {"key file $DIR/" + ours.Name, none, "", ""},
		"key file, its DS":            {"key file $DIR/" + ours.Name, named, "", ""},
		"key file, its DS beside":     {"key file $DIR/" + ours.Name, both, "", ""},
		"key file, another":           {"key file $DIR/" + ours.Name, another, refusal, ""},
		"key file, another, meant":    {"key file $DIR/" + ours.Name + "\norphan example.org", another, "", refusal},
		"key file, no answer":         {"key file $DIR/" + ours.Name, dead, "", "could not be queried for DS"},
		"key file, nobody asked":      {"key file $DIR/" + ours.Name + "\nparent off", "", "", ""},
		"key auto, no DS":             {"key auto $DIR/keys", none, "", ""},
		"key auto, another":           {"key auto $DIR/keys", another, "", "example.org is not served: " + refusal},
		"key auto, another, meant":    {"key auto $DIR/keys\norphan example.org", another, "", refusal},
		"key auto, BIND's key":        {"key auto $DIR", named, "", "signs everything, because it is unknown"},
		"key auto, BIND's, no answer": {"key auto $DIR", dead, "", "signs everything, because it is unknown"},
		"key auto, BIND's and others": {"key auto $DIR", another, "", "example.org is not served: " + refusal},
		"key auto, no answer":         {"key auto $DIR/keys", dead, "", "its parent does not answer yet"},
		"unsigned, no DS":             {"unsigned", none, "", ""},
		"unsigned, a DS":              {"unsigned", named, refusal, ""},
		"unsigned, a DS, meant":       {"unsigned\norphan example.org", named, "", refusal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := c.lines
			if c.parent != "" {
				lines += "\nparent at " + c.parent
			}
			corefile := fmt.Sprintf("example.org:$PORT {\nbind $ADDR\nerrors\ncaa $DIR/policy.yaml {\n%s\n}\n}\n", lines)
			if c.refused != "" {
				if output := world.RunCoreDNS(t, corefile, files); !strings.Contains(output, c.refused) {
					t.Errorf("want %q in\n%s", c.refused, output)
				}
				return
			}
			server := world.CoreDNS(t, corefile, files)
			if !strings.Contains(server.Log(), c.logged) || c.logged == "" && strings.Contains(server.Log(), refusal) {
				t.Errorf("want %q in\n%s", c.logged, server.Log())
			}
			answer := world.Ask(t, server.Addr, "example.org", dns.TypeCAA)
			if strings.Contains(c.logged, "is not served") || strings.Contains(c.logged, "does not answer yet") {
				if answer.Rcode != dns.RcodeServerFailure {
					t.Errorf("a zone is served whose keys are missing: %v", answer)
				}
			} else if len(world.Texts(answer.Answer, dns.TypeCAA)) == 0 {
				t.Error("no CAA")
			}
		})
	}

	t.Run("reload", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		file := filepath.Join(folder, "policy.yaml")
		const head, line = "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones:\n", "  $ORIGIN: {nameservers: [{name: ns1.$ORIGIN, addresses: [127.0.0.1]}], issue: [le]}\n"
		other, ours := strings.ReplaceAll(line, "$ORIGIN", "other.org"), strings.ReplaceAll(line, "$ORIGIN", "example.org")
		world.WriteFile(t, file, head+other)
		server := world.CoreDNS(t, ".:$PORT {\nbind $ADDR\nerrors\ncaa "+file+" . {\nkey auto "+folder+"/keys\nreload 100ms\nparent at "+another+"\n}\n}\n", nil)
		world.WriteFile(t, file, head+ours+other)
		server.WaitLog(t, refusal)
		if got := world.Ask(t, server.Addr, "host.other.org", dns.TypeCAA); len(got.Answer) == 0 {
			t.Errorf("what was served is gone: %v", got)
		}
	})
}
