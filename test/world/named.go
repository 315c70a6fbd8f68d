package world

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Named starts BIND's named, authoritative for zones given as zone files by apex. Any client may
// transfer them.
func Named(t testing.TB, zones map[string]string) *Process {
	t.Helper()
	return NamedAt(t, FreeAddr(t), zones)
}

// NamedAt is Named at an address of the caller's choice, which an interface must have: of loopback, for
// named, that is 127.0.0.1 alone.
func NamedAt(t testing.TB, addr netip.AddrPort, zones map[string]string) *Process {
	t.Helper()
	return named(t, addr, zones, "no")
}

// MinimalNamed is NamedAt with minimal-responses: what was not asked for is left out where the protocol does without it,
// as addresses beside NS records that are not a referral.
func MinimalNamed(t testing.TB, addr netip.AddrPort, zones map[string]string) *Process {
	t.Helper()
	return named(t, addr, zones, "yes")
}

func named(t testing.TB, addr netip.AddrPort, zones map[string]string, minimal string) *Process {
	t.Helper()
	program := Program(t, "named")
	dir := t.TempDir()
	conf := strings.Replace(namedConf(dir, addr), "minimal-responses no;", "minimal-responses "+minimal+";", 1)
	for apex, text := range zones {
		file := filepath.Join(dir, "db."+apex)
		WriteFile(t, file, text)
		conf += fmt.Sprintf("zone %q { type primary; file %q; };\n", apex, file)
	}
	WriteFile(t, filepath.Join(dir, "named.conf"), conf)
	return start(t, addr, dir, "running\n", program, "-g", "-4", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
}

func namedConf(dir string, addr netip.AddrPort) string {
	return fmt.Sprintf(`options {
    directory %q;
    listen-on port %d { %s; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile none;
    recursion no;
    allow-transfer { any; };
    notify no;
    empty-zones-enable no;
    dnssec-validation no;
    minimal-responses no;
    check-names primary ignore;
    zone-statistics none;
};
controls { };
`, dir, addr.Port(), addr.Addr())
}

// SignZone signs a zone file with BIND's dnssec-signzone and one key that signs everything. The
// options choose the denials: none for NSEC, "-3", "-" for NSEC3 without salt.
func SignZone(t testing.TB, apex, text string, key Key, options ...string) string {
	t.Helper()
	program := Program(t, "dnssec-signzone")
	dir := t.TempDir()
	for name, file := range key.Files {
		WriteFile(t, filepath.Join(dir, name), file)
		if strings.HasSuffix(name, ".key") {
			text += file
		}
	}
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	WriteFile(t, in, text)
	args := append([]string{"-z", "-P", "-Q", "-n", "1", "-K", dir, "-d", dir, "-o", apex, "-f", out}, options...)
	sign := exec.Command(program, append(args, in, key.Name)...)
	sign.Dir = dir
	if output, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("dnssec-signzone: %v\n%s\n%s", err, output, text)
	}
	signed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// SigningNamed starts named for a zone that it signs itself, with a key of its own, and that any client on
// loopback may update (RFC 2136). TTLs of what it adds are of a second.
func SigningNamed(t testing.TB, apex, text string) *Process {
	t.Helper()
	program := Program(t, "named")
	dir, addr := t.TempDir(), FreeAddr(t)
	file := filepath.Join(dir, "db."+apex)
	WriteFile(t, file, text)
	conf := namedConf(dir, addr) + fmt.Sprintf(`dnssec-policy one-key {
    keys { csk lifetime unlimited algorithm ecdsap256sha256; };
    dnskey-ttl 1;
    max-zone-ttl 1h;
};
zone %q { type primary; file %q; dnssec-policy one-key; allow-update { 127.0.0.1; }; };
`, apex, file)
	WriteFile(t, filepath.Join(dir, "named.conf"), conf)
	return start(t, addr, dir, "running\n", program, "-g", "-4", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
}
