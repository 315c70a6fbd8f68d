package outside

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/subject"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
	"github.com/coredns-caa/caa/test/world"
)

// BenchmarkNames checks many names, all that the checker does with each: a hundred signed zones on NSD,
// each with as many names, so that zones, keys and servers' answers are shared as they are in a company.
// Run it with -benchtime 1x; BENCH_NAMES says how many names (10,000 if not set).
func BenchmarkNames(b *testing.B) {
	const zones = 100
	total := 10_000
	if text := os.Getenv("BENCH_NAMES"); text != "" {
		if _, err := fmt.Sscan(text, &total); err != nil {
			b.Fatal(err)
		}
	}
	g := &generator{Rand: rand.New(rand.NewPCG(1, 0)), keys: ring{}, now: time.Now()}
	addrs := world.FreeSubnet(b, 2)
	var specimens []specimen
	var jobs []check.Job
	for n := range zones {
		z := newZone(fmt.Sprintf("z%d.test.", n))
		z.add("@ SOA ns hostmaster 1 7200 3600 1209600 60\n@ NS ns\nns A %s\n@ CAA 0 issue \"ca.example\"", addrs[1].Addr())
		var text strings.Builder
		for i := range total / zones {
			fmt.Fprintf(&text, "h%d A 192.0.2.1\n", i)
			s := subject.Subject{Name: fmt.Sprintf("h%d.z%d.test.", i, n)}
			jobs = append(jobs, check.Jobs([]subject.Subject{s}, []string{"ca.example"}, guard.Requirement{})...)
		}
		z.add("%s", text.String())
		z.ksk = g.keys.key(z.name, dns.ECDSAP256SHA256, 257, 0)
		z.zsk = z.ksk
		z.ds = []*dns.DS{z.ksk.ToDS(dns.SHA256)}
		z.sign(g.period())
		specimens = append(specimens, specimen{apex: z.name, zone: z, ds: z.ds, server: addrs[1]})
	}
	running := serve(b, g, addrs, specimens, world.NSD)
	b.ResetTimer()
	for b.Loop() {
		found := check.Run(b.Context(), running.resolver(b), jobs, check.Options{At: time.Now()})
		for _, n := range found.Names {
			if len(n.Verdicts) != 1 || n.Verdicts[0].Outcome != verdict.MayIssue {
				b.Fatalf("%+v", n)
			}
		}
		if len(found.Names) != len(jobs) {
			b.Fatalf("%d of %d names", len(found.Names), len(jobs))
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(memory.Sys)/1e6, "MB")
	}
	b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
}
