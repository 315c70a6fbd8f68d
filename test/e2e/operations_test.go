package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/test/world"
)

// site is a signed zone, served with a policy file that a test changes.
type site struct {
	*world.Process
	folder  string // holds policy.yaml, and whatever a test wants to outlive the server
	metrics string // where Prometheus would look
	ready   string
}

// startSite serves the policy in folder. options are further ones of the caa block.
func startSite(t *testing.T, folder, options string) *site {
	t.Helper()
	s := &site{folder: folder, metrics: world.FreeAddr(t).String(), ready: world.FreeAddr(t).String()}
	s.Process = world.CoreDNS(t, `example.org:$PORT {
    bind $ADDR
    errors
    prometheus `+s.metrics+`
    ready `+s.ready+`
    caa `+s.policy()+` {
        key auto `+folder+`/keys
        reload 100ms
        `+options+`
    }
}
`, nil)
	return s
}

func (s *site) policy() string { return filepath.Join(s.folder, "policy.yaml") }

// numbered is branchingPolicy with a number that shows in an answer.
func numbered(n int) string { return fmt.Sprintf(branchingPolicy, n) }

// wantNumber asks for it.
func (s *site) wantNumber(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprintf(`0 iodef "mailto:%d@example.org"`, n)
	if answer := world.Ask(t, s.Addr, "revision.example.org", dns.TypeCAA); !slices.Contains(world.Texts(answer.Answer, dns.TypeCAA), want) {
		t.Errorf("want %s, got\n%v", want, answer)
	}
}

// get reads a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// series are the plugin's metrics, without the prefix and the label that names the policy file.
func (s *site) series(t *testing.T) map[string]float64 {
	t.Helper()
	_, page := get(t, "http://"+s.metrics+"/metrics")
	all := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
		line, ours := strings.CutPrefix(lines.Text(), "coredns_caa_")
		name, value, _ := strings.Cut(line, " ")
		if !ours {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		all[strings.NewReplacer(`{file="`+s.policy()+`"}`, "", `file="`+s.policy()+`",`, "").Replace(name)] = number
	}
	return all
}

func wantSeries(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if number, ok := got[name]; !ok || number != value {
			t.Errorf("%s is %v (there: %v), want %v", name, number, ok, value)
		}
	}
}

var revisionLogged = regexp.MustCompile(`Serving .*, revision ([0-9a-f]+):`)

// revision returns that of the policy that was logged last.
func (s *site) revision() string {
	all := revisionLogged.FindAllStringSubmatch(s.Log(), -1)
	return all[len(all)-1][1]
}

// Every metric, moved by what it says; and the server is ready.
func TestMetrics(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(1))
	before := time.Now().Add(-time.Second).Unix()
	s := startSite(t, folder, "")
	s.WaitLog(t, "Ready: ") // what the self-check looks at is signed by now, and none of it is a query
	if status, body := get(t, "http://"+s.ready+"/ready"); status != http.StatusOK {
		t.Errorf("not ready: %d %s", status, body)
	}
	start := s.series(t)

	for range 3 {
		world.Ask(t, s.Addr, "shop.example.org", dns.TypeCAA)
	}
	world.Ask(t, s.Addr, "shop.example.org", dns.TypeTXT)
	world.Ask(t, s.Addr, "shop.example.org", dns.TypeHINFO)
	world.Ask(t, s.Addr, "shop.example.org", 65280)
	world.Ask(t, s.Addr, "nobody-asked-for.example.com", dns.TypeCAA)
	got := s.series(t)
	queries := func(kind string) string {
		return fmt.Sprintf(`queries_total{server="dns://%s",type="%s",zone="example.org."}`, s.Addr, kind)
	}
	wantSeries(t, got, map[string]float64{
		queries("CAA"):   3,
		queries("TXT"):   1,
		queries("other"): 2,
		// Over CAA and NSEC. That over the SOA is found in the cache, since the self-check has had a denial; the answers
		// themselves are kept, so that none is looked for again.
		`signatures_total{outcome="made"}`:                      start[`signatures_total{outcome="made"}`] + 2,
		`signatures_total{outcome="failed"}`:                    0,
		"signature_cache_entries":                               start["signature_cache_entries"] + 2,
		"signature_cache_misses_total":                          start["signature_cache_misses_total"] + 2,
		"signature_cache_hits_total":                            start["signature_cache_hits_total"] + 1,
		fmt.Sprintf(`policy_info{revision="%s"}`, s.revision()): 1,
		"policy_refusals":                                       0,
		"policy_stale":                                          0,
	})
	now, week := time.Now().Unix(), int64(7*24*3600)
	if loaded := int64(got["policy_loaded_timestamp_seconds"]); loaded < before || loaded > now {
		t.Errorf("loaded at %d, which is not between %d and %d", loaded, before, now)
	}
	if first := int64(got[`signature_earliest_expiry_timestamp_seconds{zone="example.org."}`]); first < now+week || first > now+2*week {
		t.Errorf("the first signature ends at %d, want a time from one to two weeks after %d", first, now)
	}
	for name := range got {
		if strings.HasPrefix(name, "queries_total") && strings.Contains(name, "example.com") {
			t.Errorf("another's name makes a series: %s", name)
		}
	}

	first := s.revision()
	refuse(t, s, "version: 1\nzones: {example.org: {issue: [nobody], isue: none}}\n", `did you mean "issue"?`)
	wantSeries(t, s.series(t), map[string]float64{
		fmt.Sprintf(`policy_info{revision="%s"}`, first): 1,
		`policy_reloads_total{outcome="refused"}`:        1, "policy_refusals": 2, "policy_stale": 1,
	})
	accept(t, s, numbered(2))
	got = s.series(t)
	wantSeries(t, got, map[string]float64{
		fmt.Sprintf(`policy_info{revision="%s"}`, s.revision()): 1,
		`policy_reloads_total{outcome="accepted"}`:              1, "policy_refusals": 0, "policy_stale": 0,
	})
	if _, there := got[fmt.Sprintf(`policy_info{revision="%s"}`, first)]; there || s.revision() == first {
		t.Error("the earlier revision is still shown")
	}
	unreadable(t, s)
	wantSeries(t, s.series(t), map[string]float64{
		`policy_reloads_total{outcome="unreadable"}`: 1, "policy_refusals": 1, "policy_stale": 1,
	})

	// A restart of CoreDNS within the process takes no counter back.
	world.WriteFile(t, filepath.Join(folder, "next.yaml"), numbered(3))
	must(t, os.Remove(s.policy()))
	must(t, os.Rename(filepath.Join(folder, "next.yaml"), s.policy()))
	s.WaitLogs(t, "Serving ", 3)
	s.Signal(t, syscall.SIGUSR1)
	s.WaitLog(t, "Reloading complete")
	world.Ask(t, s.Addr, "shop.example.org", dns.TypeCAA)
	after := s.series(t)
	wantSeries(t, after, map[string]float64{queries("CAA"): 4, "policy_stale": 0})
	if made := `signatures_total{outcome="made"}`; after[made] < got[made]+1 {
		t.Errorf("%s fell from %v to %v", made, got[made], after[made])
	}
}

const notServed = "The policy file is refused"

// refuse puts a policy that must be refused in the file's place, waits for want in the log, and returns what was logged
// since.
func refuse(t *testing.T, s *site, text, want string) string {
	t.Helper()
	return awaitRefusal(t, s, want, func() { world.WriteFile(t, s.policy(), text) })
}

// awaitRefusal makes a change, waits until the server logs the refusal and want, and returns what was logged since.
func awaitRefusal(t *testing.T, s *site, want string, change func()) string {
	t.Helper()
	before := s.Log()
	change()
	s.WaitLogs(t, notServed, strings.Count(before, notServed)+1)
	s.WaitLogs(t, want, strings.Count(before, want)+1)
	return s.Log()[len(before):]
}

// accept puts a policy in the file's place and waits until it is served.
func accept(t *testing.T, s *site, text string) {
	t.Helper()
	n := strings.Count(s.Log(), "Serving ")
	world.WriteFile(t, s.policy(), text)
	s.WaitLogs(t, "Serving ", n+1)
}

// unreadable puts a folder in the file's place: not even root can read that, and tests may run as
// root, for whom file modes mean nothing.
func unreadable(t *testing.T, s *site) {
	t.Helper()
	awaitRefusal(t, s, s.policy()+": not a regular file", func() {
		must(t, os.Remove(s.policy()))
		must(t, os.Mkdir(s.policy(), 0o700))
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// However the file changes, the policy in it is served; and while there is none, the last one.
func TestPolicyFileReplaced(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	// A ConfigMap as Kubernetes mounts it: policy.yaml -> ..data/policy.yaml, ..data -> a folder.
	configMap := func(n int) {
		version := fmt.Sprintf("..version_%d", n)
		must(t, os.Mkdir(filepath.Join(folder, version), 0o700))
		world.WriteFile(t, filepath.Join(folder, version, "policy.yaml"), numbered(n))
		must(t, os.Symlink(version, filepath.Join(folder, "..data_tmp")))
		must(t, os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
	}
	configMap(0)
	policy := filepath.Join(folder, "policy.yaml")
	must(t, os.Symlink("..data/policy.yaml", policy))
	s := startSite(t, folder, "")
	s.wantNumber(t, 0)

	gone := func(remove func()) func(int) {
		return func(n int) {
			awaitRefusal(t, s, policy, remove)
			s.wantNumber(t, n-1)
			must(t, os.RemoveAll(policy))
			world.WriteFile(t, policy, numbered(n))
		}
	}
	inPlace := func(flags int) func(int) {
		return func(n int) {
			file, err := os.OpenFile(policy, flags, 0o600)
			must(t, err)
			text := numbered(n)
			_, err = file.WriteString(text[:len(text)/2])
			must(t, err)
			must(t, file.Sync())
			_, err = file.WriteString(text[len(text)/2:])
			must(t, err)
			must(t, file.Close())
		}
	}
	for i, c := range []struct {
		name   string
		change func(n int)
	}{
		{"symbolic link swapped, as in a ConfigMap", configMap},
		{"and again", configMap},
		{"the link replaced by a file", func(n int) { world.WriteFile(t, policy, numbered(n)) }},
		{"renamed over", func(n int) { world.WriteFile(t, policy, numbered(n)) }},
		{"written in place", inPlace(os.O_WRONLY | os.O_TRUNC)},
		{"deleted", gone(func() { must(t, os.Remove(policy)) })},
		{"a folder in its place", gone(func() { must(t, os.Remove(policy)); must(t, os.Mkdir(policy, 0o700)) })},
		{"a pipe in its place", gone(func() { must(t, os.Remove(policy)); must(t, syscall.Mkfifo(policy, 0o600)) })},
		{"a link to nowhere", gone(func() { must(t, os.Remove(policy)); must(t, os.Symlink("nowhere", policy)) })},
		{"a link to itself", gone(func() { must(t, os.Remove(policy)); must(t, os.Symlink("policy.yaml", policy)) })},
	} {
		n := i + 1
		serving := strings.Count(s.Log(), "Serving ")
		c.change(n)
		s.WaitLogs(t, "Serving ", serving+1)
		s.wantNumber(t, n)
		if t.Failed() {
			t.Fatal(c.name)
		}
	}
}

// A restart with a refused policy serves the last good one, and says so; without one there is
// nothing to serve.
func TestLastGoodPolicy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(1))
	first := startSite(t, folder, "state "+folder+"/state")
	accept(t, first, numbered(2))
	good := first.revision()
	first.Stop(t)

	refused := strings.Replace(numbered(3), "issuewild: none", "isuewild: none", 1)
	for _, broken := range []string{refused, "", "\x00", "version: 1\n"} {
		world.WriteFile(t, filepath.Join(folder, "policy.yaml"), broken)
		second := startSite(t, folder, "state "+folder+"/state")
		second.wantNumber(t, 2)
		second.WaitLog(t, "Serving the last good policy, "+folder+"/state/policy-")
		// Each line begins as one of ours, those of the policy's mistakes as well.
		if log := second.Log(); !strings.Contains(log, "[ERROR] plugin/caa: "+notServed+"; revision "+good+" is still served.\n") || !strings.Contains(log, "[ERROR] plugin/caa: "+folder) {
			t.Errorf("%q: the file and the revision are not logged:\n%s", broken, log)
		}
		wantSeries(t, second.series(t), map[string]float64{fmt.Sprintf(`policy_info{revision="%s"}`, good): 1, "policy_stale": 1})
		second.Stop(t)
	}
	must(t, os.Remove(filepath.Join(folder, "policy.yaml")))
	third := startSite(t, folder, "state "+folder+"/state")
	third.wantNumber(t, 2)
	accept(t, third, numbered(4))
	third.wantNumber(t, 4)
	wantSeries(t, third.series(t), map[string]float64{"policy_stale": 0})
	third.Stop(t)

	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), refused)
	output := world.RunCoreDNS(t, "example.org:$PORT {\n    bind $ADDR\n    caa "+folder+"/policy.yaml {\n        unsigned\n    }\n}\n", nil)
	if !strings.Contains(output, folder+"/policy.yaml:") || !strings.Contains(output, `did you mean "issuewild"?`) {
		t.Errorf("without a last good policy the refusals must be printed:\n%s", output)
	}
}

// A restart that fails, for another block or for a policy that has no last good one, leaves the old
// instance at work, and nothing else that goes on reading the policy.
func TestFailedRestartLeavesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	world.WriteFile(t, filepath.Join(folder, "policy.yaml"), numbered(1))
	s := startSite(t, folder, "")
	corefile := filepath.Join(s.Dir, "Corefile")
	text, err := os.ReadFile(corefile)
	must(t, err)
	world.WriteFile(t, corefile, string(text)+"example.net:1 {\n    caa /nowhere.yaml {\n        unsigned\n    }\n}\n")
	s.Signal(t, syscall.SIGUSR1)
	s.WaitLog(t, "Restart failed")
	accept(t, s, numbered(2)) // a second reader would have logged it by now: each looks as often
	accept(t, s, numbered(3))
	s.wantNumber(t, 3)

	world.WriteFile(t, corefile, string(text))
	refuse(t, s, "version: 2\n", s.policy()+":1:10: ")
	s.Signal(t, syscall.SIGUSR1)
	s.WaitLogs(t, "Restart failed", 2)
	s.wantNumber(t, 3)
	accept(t, s, numbered(4))
	s.wantNumber(t, 4)
	wantSeries(t, s.series(t), map[string]float64{
		`policy_reloads_total{outcome="accepted"}`: 3, `policy_reloads_total{outcome="refused"}`: 1, "policy_stale": 0,
	})
}
