package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// debFile returns a deb of the release.
func debFile(t *testing.T, program string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(release(t), program+"_*_amd64.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v", program, found, err)
	}
	return found[0]
}

// What a deb holds: mode, owner and name of each file.
func TestDeb(t *testing.T) {
	need(t, "dpkg-deb")
	for program, want := range map[string][]string{
		"coredns-caa": {
			"-rw-r--r-- root/root ./etc/coredns-caa/Corefile",
			"-rw-r--r-- root/root ./etc/coredns-caa/policy.yaml",
			"-rwxr-xr-x root/root ./usr/bin/coredns-caa",
			"-rw-r--r-- root/root ./usr/lib/systemd/system/coredns-caa.service",
			"-rw-r--r-- root/root ./usr/lib/sysusers.d/coredns-caa.conf",
			"-rw-r--r-- root/root ./usr/share/doc/coredns-caa/THIRD-PARTY-NOTICES",
			"-rw-r--r-- root/root ./usr/share/doc/coredns-caa/copyright",
			"-rw-r--r-- root/root ./usr/share/doc/coredns-caa/sbom.cdx.json",
			"-rw-r--r-- root/root ./usr/share/man/man7/caa.7.gz",
		},
		"caacheck": {
			"-rw-r--r-- root/root ./etc/default/caacheck-watch",
			"-rwxr-xr-x root/root ./usr/bin/caacheck",
			"-rw-r--r-- root/root ./usr/lib/systemd/system/caacheck-watch.service",
			"-rw-r--r-- root/root ./usr/share/doc/caacheck/THIRD-PARTY-NOTICES",
			"-rw-r--r-- root/root ./usr/share/doc/caacheck/copyright",
			"-rw-r--r-- root/root ./usr/share/doc/caacheck/sbom.cdx.json",
			"-rw-r--r-- root/root ./usr/share/man/man1/caacheck.1.gz",
			"-rw-r--r-- root/root ./usr/share/bash-completion/completions/caacheck",
			"-rw-r--r-- root/root ./usr/share/fish/vendor_completions.d/caacheck.fish",
			"-rw-r--r-- root/root ./usr/share/zsh/site-functions/_caacheck",
		},
	} {
		file := debFile(t, program)
		var got []string
		for line := range strings.Lines(output(t, "dpkg-deb", "--contents", file)) {
			fields := strings.Fields(line)
			if !strings.HasPrefix(line, "d") {
				got = append(got, fmt.Sprintf("%s %s %s", fields[0], fields[1], fields[5]))
			}
		}
		byName := func(a, b string) int { return strings.Compare(strings.Fields(a)[2], strings.Fields(b)[2]) }
		slices.SortFunc(got, byName)
		slices.SortFunc(want, byName)
		if !slices.Equal(got, want) {
			t.Errorf("%s holds\n%s\nwant\n%s", program, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for field, want := range map[string]string{
			"Package": program, "Version": strings.Replace(testVersion[1:], "-", "~", 1) + "-1", "Architecture": "amd64",
		} {
			if got := strings.TrimSpace(output(t, "dpkg-deb", "--field", file, field)); got != want {
				t.Errorf("%s: %s is %q, want %q", program, field, got, want)
			}
		}
	}
}

// What people write in /etc stays at an update, also with rpm.
func TestRPM(t *testing.T) {
	need(t, "rpm")
	found, err := filepath.Glob(filepath.Join(release(t), "coredns-caa-*.x86_64.rpm"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	config := output(t, "rpm", "--query", "--package", "--configfiles", found[0])
	if want := "/etc/coredns-caa/Corefile\n/etc/coredns-caa/policy.yaml\n"; config != want {
		t.Errorf("configuration: %q, want %q", config, want)
	}
	for _, want := range []string{"/usr/bin/coredns-caa", "/usr/lib/systemd/system/coredns-caa.service", "/usr/share/man/man7/caa.7.gz"} {
		if all := output(t, "rpm", "--query", "--package", "--list", found[0]); !strings.Contains(all, want+"\n") {
			t.Errorf("%s is missing in %s", want, all)
		}
	}
	output(t, "rpm", "--checksig", "--nosignature", found[0])
}

// systemd has nothing against the units, and rates them as safe.
func TestUnits(t *testing.T) {
	d := debian(t)
	d.install(t, "coredns-caa", "caacheck")
	for unit, most := range map[string]int{"coredns-caa.service": 20, "caacheck-watch.service": 15} { // tenths; OK is below 5
		path := "/usr/lib/systemd/system/" + unit
		if out := d.run(t, "systemd-analyze", "verify", "--man=no", path); out != "" {
			t.Errorf("%s: %s", unit, out)
		}
		d.run(t, "systemd-analyze", "security", "--offline=yes", fmt.Sprintf("--threshold=%d", most), path)
	}
}

// The server runs as the unit has it: its user, its capability, all read-only but its state. It serves signed CAA on port
// 53, and serves it with the same keys after a restart. Purging the package leaves the keys, and says so.
func TestInstalledServer(t *testing.T) {
	need(t, "dig", "ip", "setpriv")
	d := debian(t)
	if out := d.install(t, "coredns-caa"); !strings.Contains(out, "systemctl enable --now coredns-caa") {
		t.Errorf("the installation does not say how to start: %s", out)
	}
	if got := strings.TrimSpace(d.run(t, "stat", "-c", "%U %a", "/var/lib/coredns-caa")); got != "coredns-caa 700" {
		t.Errorf("/var/lib/coredns-caa is %s", got)
	}
	// Nobody can be asked for the parent's DS here.
	d.run(t, "sed", "-i", "s/^    caa policy.yaml {/&\\n        parent off/", "/etc/coredns-caa/Corefile")

	network := fmt.Sprintf("release-%d", os.Getpid())
	output(t, "ip", "netns", "add", network)
	t.Cleanup(func() { output(t, "ip", "netns", "del", network) })
	output(t, "ip", "-n", network, "link", "set", "lo", "up")
	ask := func(kind string) string {
		return output(t, "ip", "netns", "exec", network, "dig", "@127.0.0.1", "+dnssec", "+short", "www.example.org", kind)
	}
	unit := readUnit(t, d.path("/usr/lib/systemd/system/coredns-caa.service"))
	var keys []string
	for range 2 {
		stop := d.start(t, network, unit)
		if got := ask("CAA"); !strings.Contains(got, `0 issue "letsencrypt.org"`) || !strings.Contains(got, "CAA 13 ") {
			t.Errorf("CAA: %q", got)
		}
		keys = append(keys, strings.Split(output(t, "ip", "netns", "exec", network, "dig", "@127.0.0.1", "+short", "example.org", "DNSKEY"), "\n")[0])
		stop()
	}
	if keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("keys %q differ after a restart", keys)
	}

	out := d.run(t, "dpkg", "--purge", "coredns-caa")
	if !strings.Contains(out, "keys and the user coredns-caa stay") {
		t.Errorf("purge says %s", out)
	}
	left := d.run(t, "find", "/var/lib/coredns-caa/keys", "-name", "*.private")
	if !strings.Contains(left, "Kexample.org.+013+") {
		t.Errorf("purge left %q", left)
	}
	if _, err := os.Stat(d.path("/etc/coredns-caa")); err == nil {
		t.Error("purge left /etc/coredns-caa")
	}
}

// system is this machine's Debian, over which an overlay file system lies: what a test installs is gone after it.
type system struct{ root string }

func debian(t *testing.T) system {
	t.Helper()
	need(t, "dpkg", "unshare", "systemd-analyze", "systemd-sysusers")
	if os.Getuid() != 0 {
		t.Skip("only root may mount and install")
	}
	work := t.TempDir()
	output(t, "mount", "-t", "tmpfs", "tmpfs", work)
	t.Cleanup(func() { output(t, "umount", "--recursive", work) })
	root := filepath.Join(work, "root")
	for _, folder := range []string{"root", "changes", "work"} {
		if err := os.Mkdir(filepath.Join(work, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "mount", "-t", "overlay", "overlay", "-o",
		fmt.Sprintf("lowerdir=/,upperdir=%s/changes,workdir=%s/work", work, work), root)
	output(t, "mount", "-t", "proc", "proc", filepath.Join(root, "proc"))
	output(t, "mount", "--bind", "/dev", filepath.Join(root, "dev"))
	output(t, "mount", "-t", "tmpfs", "tmpfs", filepath.Join(root, "run")) // no systemd runs there
	return system{root}
}

func (d system) path(name string) string { return filepath.Join(d.root, name) }

func (d system) run(t *testing.T, args ...string) string {
	t.Helper()
	return output(t, "chroot", append([]string{d.root}, args...)...)
}

// install installs packages of the release.
func (d system) install(t *testing.T, programs ...string) (out string) {
	t.Helper()
	for _, program := range programs {
		output(t, "cp", debFile(t, program), d.path("/tmp/"+program+".deb"))
		out += d.run(t, "dpkg", "--install", "/tmp/"+program+".deb")
	}
	return out
}

// readUnit returns the settings of a unit's [Service].
func readUnit(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			settings[name] = value
		}
	}
	return settings
}

// start runs a unit's ExecStart as systemd would: user, ambient capabilities and bounding set, no new privileges, folder,
// umask, and all read-only but the state. It returns when the server is up, and what stops it.
func (d system) start(t *testing.T, network string, unit map[string]string) (stop func()) {
	t.Helper()
	capabilities := "-all,+" + strings.ToLower(strings.TrimPrefix(unit["AmbientCapabilities"], "CAP_"))
	if unit["AmbientCapabilities"] != unit["CapabilityBoundingSet"] || unit["ProtectSystem"] != "strict" || unit["NoNewPrivileges"] != "yes" {
		t.Fatalf("this test does not know such a unit: %v", unit)
	}
	state := "/var/lib/" + unit["StateDirectory"]
	script := fmt.Sprintf(`set -e
		mount --rbind "$0" "$0"
		mount --bind "$0%[1]s" "$0%[1]s"
		mount -o remount,bind,ro "$0"
		exec chroot "$0" setpriv --reuid %[2]s --regid %[2]s --clear-groups --no-new-privs \
			--inh-caps %[3]s --ambient-caps %[3]s --bounding-set %[3]s \
			sh -c 'cd %[4]s; umask %[5]s; ! touch /etc/written 2>/dev/null; exec %[6]s'`,
		state, unit["User"], capabilities, unit["WorkingDirectory"], unit["UMask"], unit["ExecStart"])
	cmd := exec.Command("ip", "netns", "exec", network, "unshare", "--mount", "sh", "-c", script, d.root)
	log, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make(chan bool)
	go func() {
		defer close(up)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			t.Log(lines.Text())
			if regexp.MustCompile(`^CoreDNS-`).MatchString(lines.Text()) {
				up <- true
			}
		}
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cmd.Process.Signal(os.Interrupt)
		for range up { // the log's end
		}
		cmd.Wait()
	}
	t.Cleanup(stop)
	if !<-up {
		t.Fatal("the server did not start")
	}
	return stop
}

// The image is what OCI's tools take: skopeo reads it, umoci unpacks it. It runs as nobody, and only nobody's folder of
// state belongs to it.
func TestImage(t *testing.T) {
	need(t, "skopeo", "umoci")
	layout := filepath.Join(release(t), "coredns-caa-image")
	copied := filepath.Join(t.TempDir(), "copy")
	output(t, "skopeo", "copy", "--quiet", "--override-os=linux", "--override-arch=amd64",
		"oci:"+layout+":"+testVersion, "oci:"+copied+":one")
	config := output(t, "skopeo", "inspect", "--config", "oci:"+copied+":one")
	for _, want := range []string{`"User":"65532:65532"`, `"/coredns-caa"`, `"architecture":"amd64"`} {
		if !strings.Contains(strings.Join(strings.Fields(config), ""), want) {
			t.Errorf("%s is not in %s", want, config)
		}
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	output(t, "umoci", "unpack", "--image", copied+":one", bundle)
	root := filepath.Join(bundle, "rootfs")
	if got := strings.TrimSpace(output(t, "stat", "-c", "%u %a", filepath.Join(root, "var/lib/coredns-caa"))); got != "65532 700" {
		t.Errorf("the folder of state is %s", got)
	}
	if got := output(t, "chroot", "--userspec=65532:65532", root, "/coredns-caa", "-version"); !strings.Contains(got, testVersion) {
		t.Errorf("-version: %q", got)
	}
}
