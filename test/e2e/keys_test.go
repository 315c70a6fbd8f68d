package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/keys"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
	"github.com/coredns-caa/caa/test/world"
)

// keygen makes a key of example.org as an operator would, and returns its files' name without suffix.
func keygen(t *testing.T, folder string, args ...string) string {
	t.Helper()
	args = append([]string{"-q", "-L", "3600", "-K", folder}, args...)
	out, err := exec.CommandContext(t.Context(), world.Program(t, "dnssec-keygen"), append(args, "example.org")...).CombinedOutput()
	if err != nil {
		t.Fatalf("dnssec-keygen %v: %v\n%s", args, err, out)
	}
	return filepath.Join(folder, strings.TrimSpace(string(out)))
}

// publicKey reads the public half.
func publicKey(t *testing.T, base string) *dns.DNSKEY {
	t.Helper()
	file, err := os.Open(base + ".key")
	must(t, err)
	defer file.Close()
	for zp := dns.NewZoneParser(file, "", base); ; {
		rr, ok := zp.Next()
		if !ok {
			t.Fatalf("%s holds no DNSKEY: %v", base, zp.Err())
		}
		if key, ok := rr.(*dns.DNSKEY); ok {
			return key
		}
	}
}

// Keys made by BIND, in every form that is supported, serve answers that unbound takes for authentic
// and BIND's own validator for fully validated, with the DS of every KSK and CSK.
func TestKeysMadeByBIND(t *testing.T) {
	t.Parallel()
	ecdsa, ed25519, rsa := []string{"-a", "ECDSAP256SHA256"}, []string{"-a", "ED25519"}, []string{"-a", "RSASHA256", "-b", "2048"}
	ksk := func(args []string) []string { return append(slices.Clone(args), "-f", "KSK") }
	for name, keys := range map[string][][]string{
		"ECDSA CSK":                      {ksk(ecdsa)},
		"ECDSA KSK and ZSK":              {ksk(ecdsa), ecdsa},
		"Ed25519 CSK":                    {ksk(ed25519)},
		"Ed25519 KSK and ZSK":            {ksk(ed25519), ed25519},
		"RSA CSK":                        {ksk(rsa)},
		"RSA KSK and two ZSKs":           {ksk(rsa), rsa, rsa},
		"two algorithms (RFC 6840 5.11)": {ksk(ecdsa), ksk(ed25519), ed25519},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			var bases, anchors []string
			for _, args := range keys {
				base := keygen(t, folder, args...)
				bases = append(bases, base)
				if public := publicKey(t, base); public.Flags&dns.SEP != 0 {
					anchors = append(anchors, keyroll.TextOf(public.ToDS(dns.SHA256)))
				}
			}
			server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key file `+strings.Join(bases, " ")+`
    }
}
`, map[string]string{"policy.yaml": policyOnly})
			for _, anchor := range anchors {
				server.WaitLog(t, "Publish at the parent: "+anchor)
			}
			zone := world.Zone{Name: "example.org", Server: server.Addr, Anchor: strings.Join(anchors, "\n")}
			resolver := world.Unbound(t, zone).Addr
			wantCAA(t, world.Ask(t, resolver, "host.example.org", dns.TypeCAA), `0 issue "letsencrypt.org"`)
			wantCAA(t, world.Ask(t, resolver, "www.example.org", dns.TypeCAA), `0 issue ";"`)
			wantDenied(t, world.Ask(t, resolver, "other.example.org", dns.TypeMX))
			wantValidated(t, zone, "host.example.org", "CAA", `0 issue "letsencrypt.org"`)
			wantValidated(t, zone, "host.example.org", "MX", `\-MX`) // a denial, as delv shows it
			wantValidated(t, zone, "example.org", "DNSKEY", "; KSK;")
		})
	}
}

// wantValidated asks with delv, which validates by itself from the zone's anchors.
func wantValidated(t *testing.T, zone world.Zone, name, qtype, want string) {
	t.Helper()
	var anchors strings.Builder
	anchors.WriteString("trust-anchors {\n")
	for line := range strings.Lines(zone.Anchor) {
		fields := strings.Fields(line) // NAME IN DS TAG ALGORITHM TYPE DIGEST
		fmt.Fprintf(&anchors, "    %s static-ds %s %s %s %q;\n", fields[0], fields[3], fields[4], fields[5], fields[6])
	}
	anchors.WriteString("};\n")
	file := filepath.Join(t.TempDir(), "anchors")
	world.WriteFile(t, file, anchors.String())
	out, err := exec.CommandContext(t.Context(), world.Program(t, "delv"), "-a", file, "+root="+zone.Name, "+multiline",
		"@"+zone.Server.Addr().String(), "-p", fmt.Sprint(zone.Server.Port()), name, qtype).CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "fully validated") || !strings.Contains(text, want) {
		t.Errorf("delv %s %s: want %q, fully validated; got %v\n%s", name, qtype, want, err, text)
	}
}

// However many servers start at the same instant on one folder, they serve one key, and nobody but
// the server may read it.
func TestAutoKeyIsOneForAll(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "keys")
	world.WriteFile(t, filepath.Join(filepath.Dir(folder), "policy.yaml"), policyOnly)
	keys := make([]string, 4)
	t.Run("servers", func(t *testing.T) {
		for i := range keys {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    caa `+filepath.Dir(folder)+`/policy.yaml {
        key auto `+folder+`
    }
}
`, nil)
				keys[i] = zoneKey(t, server.Addr).String()
			})
		}
	})
	if slices.Sort(keys); len(slices.Compact(keys)) != 1 {
		t.Errorf("the servers serve %q", keys)
	}
	for pattern, mode := range map[string]os.FileMode{".": 0o700, "K*.private": 0o600, "K*.key": 0o644} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		must(t, err)
		if len(files) != 1 {
			t.Fatalf("%s: %q, want one", pattern, files)
		}
		info, err := os.Stat(files[0])
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %04o, want %04o", files[0], info.Mode().Perm(), mode)
		}
	}
}

// A key that cannot sign stops the server, with the file and the reason; one that others can read is
// used, and warned of.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	good, zsk, other := world.NewKey(t, "example.org"), "", world.NewKey(t, "example.com")
	made := t.TempDir()
	zsk = keygen(t, made, "-a", "ECDSAP256SHA256")
	for _, c := range []struct {
		name    string
		options string
		change  func(folder string) // of the key's files
		want    []string
	}{
		{"no such file", "key file $DIR/missing", nil, []string{"/missing.key", "no such file"}},
		{"the private half is a folder, which not even root can read", "key file $DIR/" + good.Name, func(folder string) {
			must(t, os.Remove(filepath.Join(folder, good.Name+".private")))
			must(t, os.Mkdir(filepath.Join(folder, good.Name+".private"), 0o700))
		}, []string{good.Name + ".private", "not a regular file"}},
		{"the private half is empty", "key file $DIR/" + good.Name, func(folder string) {
			world.WriteFile(t, filepath.Join(folder, good.Name+".private"), "")
		}, []string{good.Name + ".private", "Private-key-format"}},
		{"the private half is another key's", "key file $DIR/" + good.Name, func(folder string) {
			must(t, os.Rename(filepath.Join(folder, other.Name+".private"), filepath.Join(folder, good.Name+".private")))
		}, []string{good.Name, "another key"}},
		{"a key of another zone", "key file $DIR/" + other.Name, nil, []string{other.Name, "example.com.", "example.org."}},
		{"a key of another zone beside a good one", "key file $DIR/" + good.Name + " $DIR/" + other.Name, nil, []string{other.Name, "example.com.", "example.org."}},
		{"one key twice", "key file $DIR/" + good.Name + " $DIR/" + good.Name, nil, []string{"two keys have the ID " + strings.TrimPrefix(good.Name, "K")}},
		{"a ZSK without KSK", "key file " + zsk, nil, []string{"example.org.", "KSK"}},
		{"a folder that is a file", "key auto $DIR/policy.yaml", nil, []string{"/policy.yaml", "not a directory"}},
		{"the option twice", "key auto $DIR/keys\n        key file $DIR/" + good.Name, nil, []string{"Corefile:5", `duplicate option "key": the first is on line 4`}},
		{"signed and unsigned", "key auto $DIR/keys\n        unsigned", nil, []string{"Corefile:", "exclude each other"}},
		{"neither", "reload 2s", nil, []string{"Corefile:", "no signing option"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for _, key := range []world.Key{good, other} {
				for name, text := range key.Files {
					world.WriteFile(t, filepath.Join(folder, name), text)
				}
			}
			world.WriteFile(t, filepath.Join(folder, "policy.yaml"), policyOnly)
			if c.change != nil {
				c.change(folder)
			}
			output := world.RunCoreDNS(t, strings.ReplaceAll(`example.org:$PORT {
    bind $ADDR
    caa $DIR/policy.yaml {
        `+c.options+`
    }
}
`, "$DIR", folder), nil)
			for _, want := range c.want {
				if !strings.Contains(output, want) {
					t.Errorf("want %q in\n%s", want, output)
				}
			}
			if strings.Contains(output, "CoreDNS-") {
				t.Errorf("it served before it stopped:\n%s", output)
			}
		})
	}
	t.Run("readable by others", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		for name, text := range good.Files {
			world.WriteFile(t, filepath.Join(folder, name), text)
		}
		must(t, os.Chmod(filepath.Join(folder, good.Name+".private"), 0o644))
		server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    caa $DIR/policy.yaml {
        key file `+filepath.Join(folder, good.Name)+`
    }
}
`, map[string]string{"policy.yaml": policyOnly})
		server.WaitLog(t, "[WARNING] plugin/caa: "+filepath.Join(folder, good.Name)+".private has mode 0644")
	})
}

// A running server takes up what people ask for through its folder within seconds, as caacheck keys does, and
// answers.
func TestKeysAsked(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "keys")
	server := world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    caa $DIR/policy.yaml {
        key auto `+folder+`
        ttl 1s
        roll propagation 500ms
        roll safety 500ms
        roll heartbeat 500ms
        roll poll 1s
    }
}
`, map[string]string{"policy.yaml": "version: 1\nttl: 1s\nissuers: {le: {domain: letsencrypt.org}}\nzones: {example.org: {nameservers: [{name: ns.example.net}], issue: [le]}}\n"})
	server.WaitLog(t, "Publish at the parent: example.org.")
	first := zoneKey(t, server.Addr)
	ask := func(r keyroll.Request, want keys.Result) *keys.Report {
		t.Helper()
		report, err := keys.Ask(t.Context(), folder, "example.org.", r, keys.DefaultWait)
		must(t, err)
		if report.Asked.Result != want {
			t.Fatalf("%+v, want %s", report.Asked, want)
		}
		return report
	}
	report := ask(keyroll.Request{Verb: keyroll.RollKey, Role: keyroll.CSK, Urgent: true}, keys.Begun)
	if len(report.Zones[0].Keys) != 2 {
		t.Errorf("%+v", report.Zones[0])
	}
	server.WaitLogs(t, "Publish at the parent: example.org.", 2)
	ask(keyroll.Request{Verb: keyroll.RetireKey, Key: keyroll.ID{Algorithm: first.Algorithm, Tag: first.KeyTag()}}, keys.Refused)
	ask(keyroll.Request{Verb: keyroll.GoInsecure}, keys.Begun)
	ask(keyroll.Request{Verb: keyroll.ComeBack}, keys.Begun)
}
