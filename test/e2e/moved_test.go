package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// The keys of zones are in another folder than the Corefile says after a change: a typing error, and a block that is gone,
// so that the one above it covers its zone. A reload serves on with the keys that the old instance holds, also where no
// record is kept. With one, a restart refuses the zones, and the zones are served again when the Corefile is as it was.
func TestKeysInAnotherFolder(t *testing.T) {
	t.Parallel()
	mistyped := func(blocks []string) []string {
		return []string{blocks[0], strings.Replace(blocks[1], "/below", "/bellow", 1)}
	}
	gone := func(blocks []string) []string { return blocks[:1] }
	for _, c := range []struct {
		name   string
		change func(blocks []string) []string
		state  bool
	}{
		{"a typing error", mistyped, true},
		{"a block is gone", gone, true},
		{"a typing error, without a record", mistyped, false},
		{"a block is gone, without a record", gone, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			world.WriteFile(t, filepath.Join(folder, "policy.yaml"), `version: 1
issuers: {letsencrypt: {domain: letsencrypt.org}}
default: {issue: [letsencrypt]}
zones:
  example.org: {nameservers: [{name: ns1.example.org, addresses: [127.0.0.1]}]}
  sub.example.org: {nameservers: [{name: ns1.example.org}]}
`)
			state := ""
			if c.state {
				state = "state " + folder + "/state"
			}
			block := func(zone, keys string) string {
				return zone + `:$PORT {
    bind $ADDR
    errors
    caa ` + folder + `/policy.yaml {
        key auto ` + folder + keys + `
        parent off
        ` + state + `
    }
}
`
			}
			before := []string{block("example.org", "/above"), block("sub.example.org", "/below")}
			after := c.change(before)
			server := world.CoreDNS(t, strings.Join(before, ""), nil)
			want := zoneKeys(t, server, "example.org.", "sub.example.org.")
			corefile := filepath.Join(server.Dir, "Corefile")
			reload := func(blocks []string, n int) {
				t.Helper()
				place := strings.NewReplacer("$PORT", fmt.Sprint(server.Addr.Port()), "$ADDR", server.Addr.Addr().String())
				world.WriteFile(t, corefile, place.Replace(strings.Join(blocks, "")))
				server.Signal(t, syscall.SIGUSR1)
				server.WaitLogs(t, "Reloading complete", n)
			}
			reload(after, 1)
			server.WaitLog(t, "sub.example.org: its keys were in "+folder+"/below")
			if got := zoneKeys(t, server, "example.org.", "sub.example.org."); got != want {
				t.Errorf("after a reload the keys are\n%s\nand were\n%s", got, want)
			}
			reload(before, 2)
			if got := zoneKeys(t, server, "example.org.", "sub.example.org."); got != want {
				t.Errorf("with the Corefile as it was the keys are\n%s\nand were\n%s", got, want)
			}
			server.Stop(t)
			if !c.state {
				return // nobody knows of the keys any more
			}

			server = world.CoreDNS(t, strings.Join(after, ""), nil)
			server.WaitLog(t, "sub.example.org is not served")
			if answer := world.Ask(t, server.Addr, "sub.example.org", dns.TypeDNSKEY); answer.Rcode != dns.RcodeServerFailure {
				t.Errorf("after a restart: %v", answer)
			}
			if got := zoneKeys(t, server, "example.org."); !strings.HasPrefix(want, got) {
				t.Errorf("after a restart the key of the other zone is\n%s\nand was among\n%s", got, want)
			}
			server.Stop(t)

			server = world.CoreDNS(t, strings.Join(before, ""), nil)
			if got := zoneKeys(t, server, "example.org.", "sub.example.org."); got != want {
				t.Errorf("a restart with the Corefile as it was: the keys are\n%s\nand were\n%s", got, want)
			}
		})
	}
}

// zoneKeys are the keys of zones as the server answers, as text.
func zoneKeys(t *testing.T, server *world.Process, zones ...string) string {
	t.Helper()
	var text strings.Builder
	for _, zone := range zones {
		keys := dnskeysAt(t, server.Addr, zone)
		if len(keys) == 0 {
			t.Errorf("%s has no key", zone)
		}
		for _, key := range keys {
			text.WriteString(key.String() + "\n")
		}
	}
	return text.String()
}
