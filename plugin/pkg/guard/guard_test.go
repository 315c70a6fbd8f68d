package guard

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference")

var today = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// run checks the policy of a golden file, or its remedied one, with the file's other options.
func run(t *testing.T, ar *txtar.Archive, name string) string {
	t.Helper()
	part := func(name string) []byte {
		for _, f := range ar.Files {
			if f.Name == name {
				return f.Data
			}
		}
		return nil
	}
	p, err := policy.Load("caa.yaml", part(name))
	if err != nil {
		return err.Error() + "\n"
	}
	o := Options{At: today}
	if old := part("previous.yaml"); old != nil {
		if o.Previous, err = policy.Load("previous.yaml", old); err != nil {
			t.Fatal(err)
		}
	}
	for i, line := range strings.Fields(string(part("operator"))) {
		domain, name, _ := strings.Cut(line, "@")
		bare, wildcard := strings.CutPrefix(name, "*.")
		o.Operator = append(o.Operator, Requirement{Name: bare + ".", Wildcard: wildcard, Domain: domain, Origin: Operator, Pos: policy.Position{File: "Corefile", Line: i + 1, Column: 1}})
	}
	report := Check(p, o)
	var out strings.Builder
	for _, r := range report.Refusals {
		out.WriteString(r.String() + "\n")
	}
	for _, w := range report.Warnings {
		out.WriteString("warning: " + w.String() + "\n")
	}
	return out.String()
}

// Each golden file holds a policy that is refused (or, in warnings/, warned of), what is said, and
// the policy with the remedy applied, which must pass without a refusal.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, ar, "caa.yaml")
			if got == "" {
				t.Fatal("nothing is refused")
			}
			for i := range ar.Files {
				if ar.Files[i].Name == "said" {
					if string(ar.Files[i].Data) != got && !*update {
						t.Errorf("got\n%swant\n%s", got, ar.Files[i].Data)
					}
					ar.Files[i].Data = []byte(got)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, line := range strings.Split(run(t, ar, "remedied.yaml"), "\n") {
				if line != "" && !strings.HasPrefix(line, "warning: ") {
					t.Errorf("the remedied policy is refused: %s", line)
				}
			}
		})
	}
}

// Whatever the guard accepts, every dialect permits by a look-up of its own.
func TestAcceptedMeansPermitted(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 8659))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	accepted := 0
	for range 5000 {
		grant := func() string { return pick("[a]", "[b]", "[a, b]", "none", "any") }
		var text strings.Builder
		fmt.Fprintf(&text, "version: 1\nreport: [mailto:x@example.org]\nissuers: {a: {domain: letsencrypt.org}, b: {domain: digicert.com}}\ndefault: {issue: [a, b]}\nzones:\n  example.org:\n    issue: %s\n    names:\n", grant())
		for _, name := range []string{"www", "x.www", "shop"} {
			fmt.Fprintf(&text, "      %s: {%s}\n", name, pick("", "issue: "+grant(), "issuewild: "+pick("[a]", "none"), "issuemail: "+grant(), "critical: [issue]"))
		}
		text.WriteString("certificates:\n")
		for range 3 {
			fmt.Fprintf(&text, "  - {names: [%q], issuer: %s}\n", pick("", "*.")+pick("example.org", "www.example.org", "y.x.www.example.org", "shop.example.org"), pick("a", "b"))
		}
		p, err := policy.Load("caa.yaml", []byte(text.String()))
		if err != nil || Check(p, Options{At: today}).Err() != nil {
			continue
		}
		accepted++
		for _, cert := range p.Certificates {
			rrset := p.Covering(cert.Name).Closest(cert.Name).RRset
			for _, d := range issuance.Dialects {
				req := issuance.Request{Issuers: []string{cert.Issuer.Domain}, Wildcard: cert.Wildcard}
				if got := issuance.Decide(rrset, req, d); !got.Permitted {
					t.Fatalf("accepted, but %s %v in dialect %s:\n%s", cert.Name, got, d.Name, text.String())
				}
			}
		}
	}
	if accepted < 100 {
		t.Errorf("only %d policies were accepted: the generator proves nothing", accepted)
	}
}
