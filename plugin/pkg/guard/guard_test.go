package guard

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/policy"
	"github.com/coredns-caa/caa/plugin/pkg/zonecaa"
)

var update = flag.Bool("update", false, "write the golden files again; read the difference")

var today = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// part is a file of a golden file, nil when it has none of the name.
func part(ar *txtar.Archive, name string) []byte {
	for _, f := range ar.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// held loads a policy and holds it against what else a golden file has: the policy that is served
// (served.yaml) or was kept in the state folder (state.yaml), the zones that the server serves, the data of its first
// zone (data.zone), and the operator's issuers, each DOMAIN@NAME or, without a name, for the apex of each zone served.
func held(t *testing.T, ar *txtar.Archive, text []byte) (Report, error) {
	t.Helper()
	p, err := policy.Load("caa.yaml", text)
	if err != nil {
		return Report{}, err
	}
	o := Options{At: today, Zones: strings.Fields(string(part(ar, "zones")))}
	for name, file := range map[string]string{"served.yaml": "caa.yaml", "state.yaml": "/var/lib/caa/caa.yaml"} {
		if old := part(ar, name); old != nil {
			if o.Previous, err = policy.Load(file, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if text := part(ar, "data.zone"); text != nil {
		z := p.Zones[0]
		for _, r := range Replacements(p, z, dataOf(t, z.Name, string(text)), today) {
			o.Data = append(o.Data, r.Requirements...)
		}
	}
	for i, line := range strings.Fields(string(part(ar, "operator"))) {
		domain, name, found := strings.Cut(line, "@")
		names := []string{name + "."}
		if !found {
			names = o.Zones
		}
		for _, name := range names {
			bare, wildcard := strings.CutPrefix(name, "*.")
			o.Operator = append(o.Operator, Requirement{Name: bare, Wildcard: wildcard, Domain: domain, Origin: Operator, Pos: policy.Position{File: "Corefile", Line: i + 3, Column: 1}})
		}
	}
	return Check(p, o), nil
}

// dataOf reads the text of a zone.
func dataOf(t *testing.T, apex, text string) *zonecaa.Zone {
	t.Helper()
	parser := dns.NewZoneParser(strings.NewReader("$TTL 300\n"+text), apex, "data.zone")
	data := zonecaa.Read(apex, func(yield func(dns.RR) bool) {
		for rr, ok := parser.Next(); ok && yield(rr); rr, ok = parser.Next() {
		}
	})
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return data
}

func output(report Report, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	for _, r := range report.Refusals {
		out.WriteString(r.String() + "\n")
	}
	for _, w := range report.Warnings {
		out.WriteString("warning: " + w.String() + "\n")
	}
	return out.String()
}

// Each golden file holds a policy that is refused or warned of, and the guard's output. The fixes work:
// where all refusals have edits, the policy with those applied passes; else the file has the policy as a person would
// fix it, fixed.yaml, and that passes.
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
			report, err := held(t, ar, part(ar, "caa.yaml"))
			golden(t, file, ar, output(report, err))
			fixed := part(ar, "fixed.yaml")
			switch edited := applied(t, part(ar, "caa.yaml"), report); {
			case edited != nil && fixed != nil:
				t.Error("the edits say all that fixed.yaml says; take it away")
			case edited != nil:
				fixed = edited
			case fixed == nil:
				t.Fatal("a refusal without an edit needs fixed.yaml")
			}
			if after, err := held(t, ar, fixed); err != nil || after.Err() != nil {
				t.Errorf("the fixed policy is refused:\n%s%s", output(after, err), fixed)
			}
		})
	}
}

// A policy without certificates protects what the operator's issuer lines require, and is accepted without a warning.
func TestOperatorAloneRequires(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte("version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones: {example.org: {issue: [le]}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	operator := []Requirement{{Name: "example.org.", Domain: "letsencrypt.org", Origin: Operator}}
	for want, o := range map[int]Options{0: {At: today, Operator: operator}, 1: {At: today}} {
		if got := Check(p, o).Warnings; len(got) != want || want > 0 && got[0].Code != NothingRequired {
			t.Errorf("%d requirements: %v", len(o.Operator), got)
		}
	}
}

func golden(t *testing.T, file string, ar *txtar.Archive, got string) {
	t.Helper()
	if got == "" {
		t.Fatal("nothing is refused")
	}
	for i := range ar.Files {
		if ar.Files[i].Name == "output" {
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
}

// applied is the policy with all edits of the report, nil where a refusal has none.
func applied(t *testing.T, text []byte, report Report) []byte {
	t.Helper()
	var doc yaml.Node
	if len(report.Refusals) == 0 || yaml.Unmarshal(text, &doc) != nil {
		return nil
	}
	made := map[Edit]bool{}
	for _, r := range report.Refusals {
		if r.Edit == nil {
			return nil
		}
		if made[*r.Edit] {
			continue
		}
		made[*r.Edit] = true
		var value yaml.Node
		if err := yaml.Unmarshal([]byte(r.Edit.Value), &value); err != nil {
			t.Fatalf("%v: %v", r.Edit, err)
		}
		if !apply(doc.Content[0], nil, *r.Edit, value.Content[0]) {
			t.Errorf("%v: nothing to edit there: %v", r.Edit.Pos, r.Edit)
		}
		if !strings.Contains(r.Fix, r.Edit.String()) {
			t.Errorf("the fix %q is not the edit %q", r.Fix, r.Edit)
		}
	}
	out, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply finds the place of an edit in a tree, and makes it. parent holds the entry n, if it is a list.
func apply(n, parent *yaml.Node, e Edit, value *yaml.Node) bool {
	here := func(n *yaml.Node) bool { return n.Line == e.Pos.Line && n.Column == e.Pos.Column }
	if here(n) && parent != nil {
		switch {
		case e.Op == Add && !has(n, e.Key):
			parent.Content = append(parent.Content, value)
		case e.Op == Remove:
			parent.Content = slices.DeleteFunc(parent.Content, func(entry *yaml.Node) bool { return entry == n })
		default:
			put(n, e, value)
		}
		return true
	}
	for i, child := range n.Content {
		list := n
		if n.Kind != yaml.SequenceNode {
			list = nil
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			if !here(child) {
				continue
			}
			if child.Value == e.Key {
				n.Content[i+1] = value
			} else {
				put(n.Content[i+1], e, value)
			}
			return true
		}
		if apply(child, list, e, value) {
			return true
		}
	}
	return false
}

func has(n *yaml.Node, key string) bool {
	return n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Content, func(k *yaml.Node) bool { return k.Value == key })
}

// put sets or adds to a key of a mapping.
func put(mapping *yaml.Node, e Edit, value *yaml.Node) {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value != e.Key {
			continue
		}
		if e.Op == Add {
			mapping.Content[i+1].Content = append(mapping.Content[i+1].Content, value)
		} else {
			mapping.Content[i+1] = value
		}
		return
	}
	mapping.Style = 0
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: e.Key}, value)
}

// A report is one JSON document for tools: each refusal with its place, and its edit where it has one.
func TestReportAsJSON(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte("version: 1\nissuers: {le: {domain: letsencrypt.org}}\ndefault: {issue: [le]}\nzones: {example.org: {issuewild: none}}\ncertificates: [{names: [\"*.example.org\"], issuer: le}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(Check(p, Options{At: today}), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "revision": "46099e416f5d53e9",
 "refusals": [
  {
   "position": {
    "file": "caa.yaml",
    "line": 4,
    "column": 23
   },
   "code": "nobody-authorized",
   "names": [
    "*.example.org"
   ],
   "text": "le cannot issue: issuewild has the value none at example.org, which overrides issue for wildcards",
   "fix": "write issuewild: [le] there",
   "edit": {
    "position": {
     "file": "caa.yaml",
     "line": 4,
     "column": 23
    },
    "op": "set",
    "key": "issuewild",
    "value": "[le]"
   },
   "severity": "error",
   "section": "RFC 8659 4.2 and 4.3"
  }
 ],
 "warnings": []
}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	requirement, err := json.Marshal(Requirements(p)[0])
	if want := `{"name":"example.org.","wildcard":true,"domain":"letsencrypt.org","issuer":"le","type":"tls","position":{"file":"caa.yaml","line":5,"column":25},"origin":"certificates"}`; err != nil || string(requirement) != want {
		t.Errorf("got  %s\nwant %s", requirement, want)
	}
}

// generator writes small policies, odd ones among them.
type generator struct{ *rand.Rand }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

func (g generator) grant() string {
	return g.pick("[a]", "[b]", "[a, b]", "none", "any", "[{issuer: a, accounts: [\"x:1\"]}]", "[{issuer: a, methods: [dns-01]}, b]", "[{issuer: a, methods: [http-01]}]")
}

// words are those of one node.
func (g generator) words() string {
	return g.pick("", "issue: "+g.grant(), "issuewild: "+g.pick("[a]", "[b]", "none"), "issuemail: "+g.grant(), "critical: [issue]",
		"critical: [issuemail, contactemail]", "contact: {email: p@example.org}", "properties: [{flags: 128, tag: future, value: x}]")
}

func (g generator) policy() string {
	var text strings.Builder
	fmt.Fprintf(&text, "version: 1\nreport: [\"mailto:x@example.org\"]\nissuers: {a: {domain: letsencrypt.org%s}, b: {domain: %s}}\n",
		g.pick("", ", accounts: [\"x:1\", \"x:2\"]", ", accounts: [\"x:1\", \"x:2\"], methods: [dns-01, http-01]"), g.pick("digicert.com", "DigiCert.com", "digicert.net"))
	fmt.Fprintf(&text, "default: {issue: %s}\nzones:\n  example.org:\n    issue: %s\n    names:\n", g.pick("[a, b]", "[b]", "none"), g.grant())
	for _, name := range []string{"www", "x.www", "shop"} {
		fmt.Fprintf(&text, "      %s: {%s}\n", name, g.words())
	}
	fmt.Fprintf(&text, "  example.net: {%s}\ncertificates:\n", g.words())
	for range 3 {
		fmt.Fprintf(&text, "  - {names: [%q], issuer: %s%s}\n", g.pick("", "*.")+g.pick("example.org", "www.example.org", "y.x.www.example.org", "shop.example.org", "example.net", "www.example.com"), g.pick("a", "b"), g.pick("", ", method: dns-01"))
	}
	return text.String()
}

// Whatever the guard accepts, every dialect permits by a look-up of its own. And whatever it refuses
// with edits alone, it accepts with these made.
func TestAcceptedMeansPermitted(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(3, 8659))}
	accepted, fixed := 0, 0
	options := Options{At: today, Zones: []string{"example.com."}}
	for range 3000 {
		text := g.policy()
		p, err := policy.Load("caa.yaml", []byte(text))
		if err != nil {
			continue
		}
		report := Check(p, options)
		if report.Err() == nil {
			accepted++
			permitted(t, p, p.Certificates, text)
			continue
		}
		edited := applied(t, []byte(text), report)
		if edited == nil {
			continue
		}
		fixed++
		p, err = policy.Load("caa.yaml", edited)
		if err != nil {
			t.Fatalf("the edits make\n%s\nof\n%s\nwhich is %v", edited, text, err)
		}
		if after := Check(p, options); after.Err() != nil {
			t.Fatalf("the edits make\n%s\nof\n%s\nwhich is refused:\n%v\nthe edits were of\n%v", edited, text, after.Err(), report.Err())
		}
		permitted(t, p, p.Certificates, string(edited))
	}
	if accepted < 100 || fixed < 100 {
		t.Errorf("only %d policies were accepted and %d fixed: the generator proves nothing", accepted, fixed)
	}
}

// permitted asks the evaluator for each certificate, account and method. Where neither the certificate nor its
// issuer names a method, one by which the name can be validated has to do. By http-01 nobody asks for a wildcard
// (BR 3.2.2.4.19).
func permitted(t *testing.T, p *policy.Snapshot, certificates []policy.Certificate, text string) {
	t.Helper()
	for _, cert := range certificates {
		z := p.Covering(cert.Name)
		if z == nil {
			z = p.ZoneOrDefault("example.com.")
		}
		accounts, methods, all := cert.Issuer.Accounts, cert.Issuer.Methods, true
		if len(accounts) == 0 {
			accounts = []string{"x:1"}
		}
		switch {
		case cert.Method != "":
			methods = []string{cert.Method}
		case len(methods) == 0:
			methods, all = []string{"dns-01", "http-01"}, false
		}
		methods = slices.DeleteFunc(slices.Clone(methods), func(method string) bool { return cert.Wildcard && !issuance.ForWildcards(method) })
		denied, asked := 0, 0
		var got issuance.Decision
		for _, account := range accounts {
			for _, method := range methods {
				req := issuance.Request{Issuers: []string{cert.Issuer.Domain}, Wildcard: cert.Wildcard, Account: account, Method: method}
				asked++
				if made, _ := issuance.Everywhere(z.Closest(cert.Name).RRset, req); !made.Permitted {
					denied++
					got = made
				}
			}
		}
		if denied > 0 && (all || denied == asked) {
			t.Fatalf("accepted, but %s %+v:\n%s", cert.Name, got, text)
		}
	}
}

// What the policy being served requires stays permitted through any chain of accepted reloads, until a
// reload has taken its certificates away.
func TestReloadKeepsWhatIsServed(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(8657, 3))}
	options := Options{At: today, Zones: []string{"example.com."}}
	reloads, refused := 0, 0
	for range 3000 {
		text := g.policy()
		p, err := policy.Load("caa.yaml", []byte(text))
		if err != nil {
			continue
		}
		report := Check(p, options)
		if options.Previous != nil && report.Err() != nil {
			refused++
		}
		if edited := applied(t, []byte(text), report); edited != nil {
			text = string(edited)
			if p, err = policy.Load("caa.yaml", edited); err != nil {
				t.Fatal(err)
			}
			report = Check(p, options)
		}
		if report.Err() != nil {
			continue
		}
		if options.Previous != nil {
			reloads++
			permitted(t, p, options.Previous.Certificates, text)
		}
		options.Previous = p
	}
	if reloads < 100 || refused < 100 {
		t.Errorf("only %d reloads and %d refusals: the generator proves nothing", reloads, refused)
	}
}

// BenchmarkCheck proves 100,000 required names in 10,000 zones of the file, in 10,000 that default
// makes, and where all of them are locked out by one cause.
func BenchmarkCheck(b *testing.B) {
	const zones, each = 10_000, 10
	for _, c := range []struct {
		name, head, zone string
		served           bool
	}{
		{"zones of the file", "zones:\n", "  zone%d.example: {issue: [le], names: {host1: {issuewild: none}}}\n", false},
		{"zones that default makes", "default: {issue: [le]}\n", "", true},
		{"all locked out by one cause", "default: {issue: none, issuemail: [le]}\n", "", true},
	} {
		b.Run(c.name, func(b *testing.B) {
			var text strings.Builder
			text.WriteString("version: 1\nissuers: {le: {domain: letsencrypt.org}}\n" + c.head)
			options := Options{At: today}
			for z := range zones {
				if c.zone != "" {
					fmt.Fprintf(&text, c.zone, z)
				}
				if c.served {
					options.Zones = append(options.Zones, fmt.Sprintf("zone%d.example.", z))
				}
			}
			text.WriteString("certificates:\n")
			for z := range zones {
				for n := range each {
					fmt.Fprintf(&text, "  - {names: [host%d.zone%d.example], issuer: le}\n", n, z)
				}
			}
			p, err := policy.Load("caa.yaml", []byte(text.String()))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				Check(p, options)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/zones/each, "ns/name")
		})
	}
}

// The operator's own line may be mistaken, too: then it is the line that has to change, and not the policy, which may
// call an issuer unlisted.
func TestOperatorNamesNobody(t *testing.T) {
	t.Parallel()
	p, err := policy.Load("caa.yaml", []byte(`version: 1
issuers: {le: {domain: letsencrypt.org}, own: {domain: sectigo.net, unlisted: true}}
zones: {example.org: {issue: [le, own]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	const line, listed = "; the server's issuer line at Corefile:3:1 requires it (", "CCADB, CAA identifiers)\n    "
	for domain, want := range map[string]string{
		"letsencrypt.org": "", "sectigo.net": "",
		"letsencrypt.com": "Corefile:3:1: example.org: no public CA has the name letsencrypt.com, which is near to one" + line + listed + "write letsencrypt.org",
		"yandex.ru":       "Corefile:3:1: example.org: Asseco Data Systems S.A. no longer honours the name yandex.ru" + line + listed + "write certum.pl",
		"zerossl.com":     "Corefile:3:1: example.org: zerossl.com resells certificates, and its name authorises no CA" + line + "RFC 8659 4.2)\n    write sectigo.com",
	} {
		r := Requirement{Name: "example.org.", Domain: domain, Origin: Operator, Pos: policy.Position{File: "Corefile", Line: 3, Column: 1}}
		got := ""
		if err := Check(p, Options{At: today, Operator: []Requirement{r}}).Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", domain, got, want)
		}
	}
}
