package main

import (
	_ "embed"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/lab"
	"github.com/coredns-caa/caa/test/world"
)

var keepPage = flag.String("page", "", "leave the page of TestPageInABrowser in this folder")

// pageZones are a world to look at: each outcome, an alias to a provider, an unsigned zone with a stale
// secondary, servers that fail, and a zone whose owner sends markup.
var pageZones = []lab.Zone{
	{Name: "org.", Servers: []string{"a.nic.org.", "b.nic.org."}},
	{Name: "net.", Servers: []string{"a.nic.net."}},
	{Name: "example.org.", Servers: []string{"ns1.example.org.", "ns2.example.org."}, Text: `
@     CAA 0 issue "letsencrypt.org; accounturi=https://acme-v02.api.letsencrypt.org/acme/acct/1234567"
@     CAA 0 issuewild ";"
@     CAA 0 iodef "mailto:pki@example.org"
@     MX  10 mail
mail  A   192.0.2.25
store CNAME shops.example.net.
shop  CAA 0 issue "digicert.com"
evil  CAA 0 issue "</title></style><script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
`},
	{Name: "example.net.", Servers: []string{"ns1.example.net.", "ns2.example.net."}, Text: `shops CAA 0 issue "digicert.com"`},
	{Name: "stale.org.", Servers: []string{"ns1.example.org.", "ns1.stale.org."}, Unsigned: true, Text: `@ CAA 0 issue "letsencrypt.org"`},
	{Name: "down.org.", Servers: []string{"ns1.down.org.", "ns2.down.org."}},
}

var pageHooks = map[string]lab.Hook{
	"ns1.down.org.": failing, "ns2.down.org.": failing,
	"ns1.stale.org.": func(transport string, _ dns.Question, m *dns.Msg) *dns.Msg {
		if transport != "tcp" { // which no look-up comes upon, so that each perspective sees the same
			return m
		}
		m = m.Copy()
		for _, rr := range m.Answer {
			if caa, ok := rr.(*dns.CAA); ok {
				caa.Value = "sectigo.com"
			}
		}
		return m
	},
}

// pagePerspectives see the same; one is too near another, and one cannot be reached.
const pagePerspectives = `version: 1
perspectives:
  - {name: here, kind: self, region: RIPE NCC, coordinates: [50.1, 8.7]}
  - {name: ohio, kind: agent, address: %[1]q, token: token, ca: cert.pem, region: ARIN, coordinates: [40, -83]}
  - {name: oregon, kind: agent, address: %[1]q, token: token, ca: cert.pem, region: ARIN, coordinates: [45.5, -122.7]}
  - {name: seattle, kind: agent, address: %[1]q, token: token, ca: cert.pem, region: ARIN, coordinates: [47.6, -122.3]}
  - {name: tokyo, kind: agent, address: %[1]q, token: token, ca: cert.pem, region: APNIC, coordinates: [35.7, 139.7]}
  - {name: sydney, kind: agent, address: %[1]q, token: token, ca: cert.pem, region: APNIC, coordinates: [-33.9, 151.2]}
  - {name: cairo, kind: agent, address: "https://127.0.0.1:1", token: token, ca: cert.pem, region: AFRINIC, coordinates: [30, 31.2]}
`

// longName is one that no line holds.
var longName = strings.Repeat("a-label-of-some-length.", 8) + "example.org"

// page runs caacheck in that world, and returns what it wrote. The lab's addresses are shown as those
// that documentation uses.
func page(t *testing.T, names ...string) string {
	t.Helper()
	l := lab.New(t, pageHooks, pageZones...)
	dir := t.TempDir()
	file, perspectives := filepath.Join(dir, "page.html"), filepath.Join(dir, "perspectives.yaml")
	into := flagsInto(t, l, dir)
	agent, _ := agentIn(t, dir, into...)
	world.WriteFile(t, perspectives, fmt.Sprintf(pagePerspectives, agent))
	args := append([]string{"--html", file, "--issuer", "letsencrypt.org", "--perspectives", perspectives}, names...)
	if _, _, stderr := caacheck(t, "", append(args, into...)...); stderr != "" {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`127\.\d+\.\d+\.(\d+)`).ReplaceAllString(string(text), "192.0.2.$1")
}

// measure.html has the page in frames, and says what it finds wrong with it: what is wider than the
// frame, letters that leave their box or are too small, text without contrast, and elements that only a
// server's markup can have made.
//
//go:embed testdata/measure.html
var measure string

// A browser shows the page on a telephone and on a wide screen, by day and by night, with nothing cut
// off and nothing run that a server sent.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	text := page(t, "www.example.org", "*.example.org", "store.example.org", "stale.org", "down.org", "evil.example.org", longName)
	if *keepPage != "" {
		if err := os.WriteFile(filepath.Join(*keepPage, "page.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	for path, text := range map[string]string{"/": measure, "/page": text} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, text)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for scheme, setting := range map[string]string{"dark": "0", "light": "1"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dom := browse(t, "--blink-settings=preferredColorScheme="+setting, "--dump-dom", server.URL)
			_, measured, _ := strings.Cut(dom, "<output>")
			measured, _, ended := strings.Cut(measured, "</output>")
			if !ended || !strings.Contains(measured, "measured at 360") || !strings.Contains(measured, "measured at 1280") {
				t.Fatalf("nothing was measured:\n%s", dom)
			}
			for _, want := range []string{"scheme " + scheme, "title caacheck: No: 4 of 7 names are locked out, 1 at risk.", "has *.example.org", "has Fix:", "has this decides", "has a-label-of-some-length.", "has does not count", "has (RIPE NCC, primary)", "has The chain of trust, from the root down to example.net"} {
				if !strings.Contains(measured, want) {
					t.Errorf("it lacks %q", want)
				}
			}
			for line := range strings.Lines(measured) {
				if strings.HasPrefix(line, "wrong") {
					t.Error(strings.TrimSpace(line))
				}
			}
		})
	}
}

// browse runs a browser without a window, and returns what it writes. It skips the test where there is
// none.
func browse(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium: install it")
	}
	flags := []string{"--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir=" + t.TempDir()}
	if os.Geteuid() == 0 { // Chromium's sandbox refuses root
		flags = append(flags, "--no-sandbox")
	}
	return world.Output(t, 2*time.Minute, path, append(flags, args...)...)
}

var pictures = flag.String("pictures", "", "take the README's pictures, into this folder")

// TestPictures takes them only with its flag.
func TestPictures(t *testing.T) {
	t.Parallel()
	if *pictures == "" {
		return
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(page(t, "api.shop.example.org", "stale.org", "www.example.org")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"report-wide.png":   {"--window-size=1080,960", "--force-device-scale-factor=1.25", "--blink-settings=preferredColorScheme=1"},
		"report-narrow.png": {"--window-size=360,1180", "--force-device-scale-factor=1.25", "--blink-settings=preferredColorScheme=0"},
	} {
		browse(t, append(args, "--screenshot="+filepath.Join(*pictures, name), "file://"+file)...)
	}
}
