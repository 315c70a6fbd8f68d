package yamlpos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/coredns-caa/caa/plugin/pkg/policy/policygen"
	"github.com/coredns-caa/caa/plugin/pkg/steps"
)

// Whatever a text says, its tree has no more than three nodes for each entry that is counted beforehand.
func TestEntriesBoundNodes(t *testing.T) {
	t.Parallel()
	var nodes func(n *Node) int
	nodes = func(n *Node) int {
		sum := 1
		for child := n.first; child != nil; child = child.next {
			sum += nodes(child)
		}
		return sum
	}
	check := func(text []byte) {
		t.Helper()
		file, _ := parse(text)
		if file == nil {
			return
		}
		if got, most := nodes(file.Root), 3+3*entries(text); got > most {
			t.Errorf("%d nodes, and %d entries counted:\n%.300s", got, entries(text), text)
		}
	}
	for _, text := range []string{"a: b", "a:\n- b\n-\tc\n-\n- d: e\n", "{a: b, c: d}", "{a,b,c}", "[a: b, c: d]", "[\"a\":b,'c':d]", "{\"a\":b,\"c\":[d]}", "? a\n: b\n?\tc\n:\td\n", "- - - - a\n", "[[],[],{}]",
		"{a :b, c : d}", "{? a : b, ? c}", "a: &b c\nd: *b\n", "- ? a\n  : - b\n    - c\n", "!!map {a: b}", "[a,,b]", "{\"a\"\n:b}", "{[a]:b}", "{{a: b}:c}", "-\u00a0a"} {
		check([]byte(text))
	}
	for _, shape := range policygen.Shapes {
		check([]byte(shape.Text(5_000)))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for seed := range uint64(300) {
		check(policygen.Text(rand.New(rand.NewPCG(seed, 3)), policygen.Options{Damage: 0.1}))
		random := make([]byte, r.IntN(40))
		for i := range random {
			random[i] = "ab:,-?[]{}\"'& \n\t*!"[r.IntN(18)]
		}
		check(random)
	}
}

// Reading ends soon after nobody waits for it.
func TestParseEndsWithItsContext(t *testing.T) {
	t.Parallel()
	text := []byte("a: [" + strings.Repeat("b,", 1_000_000) + "]")
	ctx, cancel := context.WithCancel(t.Context())
	ctx, counter := steps.Counted(ctx)
	cancel()
	if _, err := Parse(steps.Of(ctx), "f.yaml", text, &rules); err == nil || counter.Taken() > len(text)/100 {
		t.Errorf("%d steps, error %v", counter.Taken(), err)
	}
}

// panics is a decoder that meets what it does not expect.
type panics struct{}

func (panics) Decode(any) error { panic("unexpected event (please report)") }

// A panic of the module is an error of the file.
func TestDecodePanics(t *testing.T) {
	t.Parallel()
	if err := decode(panics{}, nil); err == nil || err.Error() != "unexpected event (please report)" {
		t.Errorf("error %v", err)
	}
}

// shapes are the large files that people have.
var shapes = []struct {
	name string
	text func(names int) string
}{
	{"certificates", func(names int) string {
		return large("certificates:\n- issuer: le\n  names:\n", names, func(i int) string { return fmt.Sprintf("  - n%06d.org\n", i) })
	}},
	{"zones", func(names int) string {
		return large("zones:\n", names, func(i int) string { return fmt.Sprintf("  n%06d.org: {}\n", i) })
	}},
	{"names", func(names int) string {
		return large("zones:\n  example.org:\n    names:\n", names, func(i int) string { return fmt.Sprintf("      n%06d:\n        issue: [le]\n", i) })
	}},
}

func large(head string, n int, line func(int) string) string {
	var b strings.Builder
	b.WriteString(head)
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}

// unbounded are the rules without what would refuse a million of anything, to measure that.
var unbounded = Rules{Size: 1 << 30, Entries: 1 << 30, Depth: 16}

// What is allocated for a node, in the parser and in both trees, does not grow with the file: 150 octets and more in the
// module's tree, 48 in ours, and the scalar.
func TestMemoryIsLinear(t *testing.T) {
	for _, shape := range shapes {
		for _, names := range []int{1_000, 10_000, 100_000} {
			text := []byte(shape.text(names))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file, err := Parse(new(steps.Counter), "f.yaml", text, &unbounded)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			nodes := count(file.Root)
			if each := int(after.TotalAlloc-before.TotalAlloc-64<<10) / nodes; each > 400 {
				t.Errorf("%d %s: %d octets allocated for each of %d nodes", names, shape.name, each, nodes)
			}
		}
	}
}

func count(n *Node) int {
	sum := 1
	for child := n.first; child != nil; child = child.next {
		sum += count(child)
	}
	return sum
}

// BenchmarkParse prints what a file costs for each of its octets: allocated, and kept once it is read.
func BenchmarkParse(b *testing.B) {
	for _, shape := range shapes {
		for _, names := range []int{10_000, 100_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s-%d", shape.name, names), func(b *testing.B) {
				text := []byte(shape.text(names))
				b.SetBytes(int64(len(text)))
				var before, after, kept runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				var file *File
				for b.Loop() {
					var err error
					if file, err = Parse(new(steps.Counter), "f.yaml", text, &unbounded); err != nil {
						b.Fatal(err)
					}
				}
				runtime.ReadMemStats(&after)
				runtime.GC()
				runtime.ReadMemStats(&kept)
				each := float64(len(text))
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/each, "B-allocated/octet")
				b.ReportMetric((float64(kept.HeapAlloc)-float64(before.HeapAlloc))/each, "B-kept/octet")
				runtime.KeepAlive(file)
			})
		}
	}
}
