package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// manualZone is a zone's file, of which the manual's examples show the name alone.
const manualZone = "$TTL 3600\n@ SOA ns1 hostmaster 1 7200 3600 1209600 60\n@ NS ns1\nns1 A 127.0.0.1\nwww A 192.0.2.1\n"

// manualExamples are the Corefiles of the manual's examples with the policies that follow them, and what it says of a
// bad policy last.
func manualExamples(t *testing.T) (corefiles, policies []string, refusal string) {
	t.Helper()
	text, err := os.ReadFile("../../plugin/caa/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, examples, _ := strings.Cut(string(text), "\n## Examples\n")
	examples, _, _ = strings.Cut(examples, "\n## ")
	for _, block := range regexp.MustCompile(`(?s)~~~ (\w+)\n(.*?)~~~\n`).FindAllStringSubmatch(examples, -1) {
		switch block[1] {
		case "corefile":
			corefiles = append(corefiles, block[2])
		case "yaml":
			policies = append(policies, block[2])
		default:
			refusal = block[2]
		}
	}
	if len(corefiles) != 3 || len(policies) != 3 || refusal == "" {
		t.Fatalf("%d Corefiles, %d policies and the refusal %q", len(corefiles), len(policies), refusal)
	}
	return corefiles, policies, refusal
}

// The examples of the manual serve what it says that they do.
func TestManualExamples(t *testing.T) {
	t.Parallel()
	corefiles, policies, refusal := manualExamples(t)
	key := world.NewKey(t, "example.org")
	files := map[string]string{"db.example.org": manualZone, "zones/db.example.net": manualZone}
	for name, text := range key.Files {
		files[name] = text
	}
	servers := make([]*world.Process, len(corefiles))
	for i, corefile := range corefiles {
		files["caa.yaml"] = policies[i]
		corefile = strings.NewReplacer("/etc/coredns/Kexample.org.+013+45330", "$DIR/"+key.Name, "/etc/coredns/", "$DIR/", "/var/lib/coredns/", "$DIR/").Replace(corefile)
		servers[i] = world.CoreDNS(t, strings.Replace(corefile, " {\n", ":$PORT {\n    bind $ADDR\n", 1), files)
	}
	until(t, servers[2], "example.net", true)
	for i, c := range []struct{ name, want string }{
		{"vpn.corp.example.org.", `0 issue "letsencrypt.org"`},
		{"www.example.org.", `0 issue "digicert.com"`},
		{"www.example.net.", `0 issue "letsencrypt.org"`},
	} {
		q := new(dns.Msg).SetQuestion(c.name, dns.TypeCAA)
		q.SetEdns0(dns.DefaultMsgSize, true)
		answer := world.Exchange(t, servers[i].Addr, q)
		if !slices.Contains(world.Texts(answer.Answer, dns.TypeCAA), c.want) || len(world.Texts(answer.Answer, dns.TypeRRSIG)) == 0 {
			t.Errorf("example %d: want %s, signed; got\n%v", i+1, c.want, answer)
		}
	}

	file := filepath.Join(servers[0].Dir, "caa.yaml")
	world.WriteFile(t, file, strings.Replace(policies[0], "names: [vpn.corp.example.org]", `names: [vpn.corp.example.org, "*.dev.corp.example.org"]`, 1))
	servers[0].WaitLog(t, "overrides issue for wildcards")
	for line := range strings.Lines(strings.ReplaceAll(refusal, "caa.yaml:", file+":")) {
		servers[0].WaitLog(t, "[ERROR] plugin/caa: "+line)
	}
}
