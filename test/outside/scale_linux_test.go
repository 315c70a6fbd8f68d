package outside

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/certname"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/dnssec"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/test/world"
)

// BenchmarkNames checks many names, all that the checker does with each and as polite as it is by default: a
// hundred signed zones on NSD, each with as many names and on an address of its own, so that zones and keys
// are shared as they are in a company; from here alone, and from here and through five unbounds. It tells
// the peak of the resident set, and the processor's time that the checker took of the two cores.
// Run it with -benchtime 1x; BENCH_NAMES says how many names (10,000 if not set).
func BenchmarkNames(b *testing.B) {
	const zones = 100
	total := 10_000
	if text := os.Getenv("BENCH_NAMES"); text != "" {
		if _, err := fmt.Sscan(text, &total); err != nil {
			b.Fatal(err)
		}
	}
	addrs := world.FreeSubnet(b, 1+zones)
	running, jobs := company(b, addrs, total)
	resolvers := []netip.AddrPort{}
	for range 5 {
		resolvers = append(resolvers, running.unbound(b))
	}
	for _, n := range []int{0, len(resolvers)} {
		b.Run(fmt.Sprintf("perspectives=%d", 1+n), func(b *testing.B) {
			var before, after syscall.Rusage
			forget(b)
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			for b.Loop() {
				found := everything(b, running, resolvers[:n], jobs)
				for _, name := range found.Names {
					if v := name.Verdicts; len(v) != 1 || v[0].Outcome != verdict.MayIssue || n > 0 && len(v[0].Corroboration.Quorum.Corroborating) != n {
						b.Fatalf("%+v", name)
					}
				}
				if len(found.Names) != total {
					b.Fatalf("%d of %d names", len(found.Names), total)
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			b.ReportMetric(peak(b), "peak-MB")
			b.ReportMetric(processor(after)-processor(before), "CPU-s")
			b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
		})
	}
}

// company is a hundred zones, one at each address, with so many names between them.
func company(b *testing.B, addrs []netip.AddrPort, names int) (served, []check.Job) {
	b.Helper()
	g := &generator{Rand: rand.New(rand.NewPCG(1, 0)), keys: ring{}, now: time.Now()}
	zones := len(addrs) - 1
	var specimens []specimen
	var jobs []check.Job
	for n, addr := range addrs[1:] {
		z := newZone(fmt.Sprintf("z%d.test.", n))
		z.add("@ SOA ns hostmaster 1 7200 3600 1209600 60\n@ NS ns\nns A %s\n@ CAA 0 issue \"ca.example\"", addr.Addr())
		var text strings.Builder
		for i := range names / zones {
			fmt.Fprintf(&text, "h%d A 192.0.2.1\n", i)
			s := certname.Name{Domain: fmt.Sprintf("h%d.z%d.test.", i, n)}
			jobs = append(jobs, check.Jobs([]certname.Name{s}, []string{"ca.example"}, guard.Requirement{Type: issuance.TLS})...)
		}
		z.add("%s", text.String())
		z.ksk = g.keys.key(z.name, dns.ECDSAP256SHA256, 257, 0)
		z.zsk = z.ksk
		z.ds = []*dns.DS{z.ksk.ToDS(dns.SHA256)}
		z.sign(g.period())
		specimens = append(specimens, specimen{apex: z.name, zone: z, ds: z.ds, server: addr})
	}
	return serve(b, g, addrs, specimens, func(t testing.TB, _ netip.AddrPort, zones map[string]string) *world.Process {
		return world.NSDAt(t, addrs[1:], zones)
	}), jobs
}

// everything is what `caacheck --perspectives` does.
func everything(b *testing.B, running served, resolvers []netip.AddrPort, jobs []check.Job) *report.Report {
	b.Helper()
	cfg := resolve.Config{Hints: running.hints, Anchors: []dns.RR{running.anchor}, Port: running.port, Memory: dnssec.NewMemory(dnssec.MemorySize)}
	r, err := resolve.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	if len(resolvers) == 0 {
		return report.Of(check.New(r, jobs, check.Options{At: now}).Run(b.Context(), check.Progress{}))
	}
	text := "version: 1\nperspectives:\n  - {name: here, kind: self, region: ARIN, coordinates: [0, 0]}\n"
	for i, addr := range resolvers {
		text += fmt.Sprintf("  - {name: r%d, kind: udp, address: %q, region: %s, coordinates: [0, %d]}\n", i, addr, []string{"APNIC", "RIPE NCC"}[i%2], 10*(i+1))
	}
	file, err := perspective.Parse("perspectives.yaml", []byte(text))
	if err != nil {
		b.Fatal(err)
	}
	set, err := file.Open(perspective.Options{Resolve: cfg, Self: r})
	if err != nil {
		b.Fatal(err)
	}
	defer set.Close()
	return report.Of(check.New(r, jobs, check.Options{At: now, Perspectives: set}).Run(b.Context(), check.Progress{}))
}

// forget gives back what building the world took, and begins a new peak (proc_pid_clear_refs(5)).
func forget(b *testing.B) {
	b.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

// peak is the largest resident set since, in MB.
func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kB float64
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		b.Fatal(err)
	}
	return kB / 1000
}

// processor is the time, in seconds, that a process had of the processors.
func processor(u syscall.Rusage) float64 {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
