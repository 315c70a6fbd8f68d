package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/coredns-caa/caa/checker/finding"
	"github.com/coredns-caa/caa/checker/verdict"
)

func pageOf(t *testing.T, r *Report) (string, *html.Node) {
	t.Helper()
	var out bytes.Buffer
	if err := r.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	root, err := html.Parse(&out)
	if err != nil {
		t.Fatal(err)
	}
	return text, root
}

// ourElements are all that a page has, with the attributes that they may have.
var ourElements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "id", "style": "", "body": "",
	"header": "", "main": "", "footer": "", "section": "aria-labelledby", "article": "class",
	"h1": "class", "h2": "id", "h3": "", "p": "class", "ul": "class", "ol": "class", "li": "class", "br": "", "b": "", "div": "class",
	"span": "class aria-hidden", "code": "", "a": "href", "time": "", "details": "class id open", "summary": "",
	"table": "role", "thead": "", "tbody": "", "tr": "role", "th": "role scope", "td": "role class", "figure": "", "figcaption": "",
	"svg": "viewBox role aria-labelledby xmlns", "desc": "id", "path": "class d", "rect": "class x y width height rx", "text": "class x y",
}

// What servers send is text on the page, and never more.
func TestPageOfHostileServers(t *testing.T) {
	t.Parallel()
	text, root := pageOf(t, hostile())
	ids := map[string]bool{}
	address := regexp.MustCompile(`^#[a-z0-9-]+$|^https://www\.rfc-editor\.org/rfc/rfc\d+(#section-[\d.]+)?$`)
	class := regexp.MustCompile(`^[a-z ]*$`)
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("a comment: %s", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		allowed, ours := ourElements[n.Data]
		if !ours {
			t.Errorf("an element %s", n.Data)
		}
		for _, a := range n.Attr {
			if !slices.Contains(strings.Fields(allowed), a.Key) {
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			}
			if a.Key == "class" && !class.MatchString(a.Val) || a.Key == "href" && !address.MatchString(a.Val) {
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			}
			if a.Key == "id" {
				if ids[a.Val] {
					t.Errorf("two elements are %s", a.Val)
				}
				ids[a.Val] = true
			}
		}
	}
	for _, name := range []string{"\x00", "\x1b", "\u202E", "\u2028", "\xff"} {
		if strings.Contains(text, name) {
			t.Errorf("%q reached the page", name)
		}
	}
	if n := strings.Count(text, "&lt;script&gt;alert(1)&lt;/script&gt;"); n < 20 {
		t.Errorf("what was sent is shown %d times", n)
	}
}

// The policy lets the page's own style in, by its hash, and nothing else.
func TestPageLetsNothingIn(t *testing.T) {
	t.Parallel()
	text, root := pageOf(t, hostile())
	_, style, _ := strings.Cut(text, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	got := ""
	for n := range root.Descendants() {
		for i, a := range n.Attr {
			if a.Key == "http-equiv" && a.Val == "Content-Security-Policy" {
				got = n.Attr[i+1].Val
			}
		}
	}
	if got != want {
		t.Errorf("the policy is %q, want %q", got, want)
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style fetches something")
	}
}

// Each picture has a title and says in words what it shows.
func TestPicturesHaveWords(t *testing.T) {
	t.Parallel()
	_, root := pageOf(t, hostile())
	pictures := 0
	for n := range root.Descendants() {
		if n.Data != "svg" {
			continue
		}
		pictures++
		words := map[string]string{}
		for c := range n.ChildNodes() {
			for _, a := range c.Attr {
				if a.Key == "id" && c.FirstChild != nil {
					words[a.Val] = c.FirstChild.Data
				}
			}
		}
		for _, a := range n.Attr {
			if a.Key != "aria-labelledby" {
				continue
			}
			for _, id := range strings.Fields(a.Val) {
				if words[id] == "" && !strings.HasPrefix(id, "name-5-") && !strings.HasPrefix(id, "name-6-") { // nothing was asked of these
					t.Errorf("%s says nothing", id)
				}
			}
		}
	}
	if pictures != 14 { // a climb each, and two chains of the four that have zones
		t.Errorf("%d pictures of six names", pictures)
	}
}

// Aliases lead to other zones: each chain of trust is shown, in pictures and as a tree.
func TestChains(t *testing.T) {
	t.Parallel()
	n := Name{Name: "www.example.org", Zones: []Zone{{Name: "."}, {Name: "org", Parent: "."}, {Name: "example.org", Parent: "org"}, {Name: "com", Parent: "."}, {Name: "x.com", Parent: "com"}}}
	var chains []string
	for _, p := range n.chainPictures("c") {
		chains = append(chains, p.Title+": "+p.Desc)
	}
	want := []string{
		"The chain of trust to example.org: the root: indeterminate. org, delegation: indeterminate. example.org, delegation: indeterminate.",
		"The chain of trust to x.com: the root: indeterminate. com, delegation: indeterminate. x.com, delegation: indeterminate.",
	}
	if !slices.Equal(chains, want) {
		t.Errorf("got %q, want %q", chains, want)
	}
	var tree strings.Builder
	n.writeTree(&tree, Style{})
	for _, line := range []string{"└─ .  ", "   └─ org  ", "      └─ example.org  ", "   └─ com  ", "      └─ x.com  "} {
		if !strings.Contains(tree.String(), "\n    "+line) {
			t.Errorf("%q is not in\n%s", line, tree.String())
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"fine":                   "good Yes: every CA that was checked may issue for all 2 names.",
		"warning":                "good Yes: every CA that was checked may issue for n0.example.",
		"locked out":             "bad No: 1 of 2 names is locked out.",
		"at risk":                "bad No: n0.example is at risk.",
		"unknown":                "doubtful Unknown: whether n0.example may have certificates could not be determined.",
		"unknown and locked out": "bad No: 1 of 2 names is locked out, 1 unknown.",
		"interrupted":            "doubtful Yes: every CA that was checked may issue for n0.example; interrupted: names are missing.",
		"drift":                  "bad No: servers do not return the policy's CAA records for n0.example.",
		"drift and unknown":      "bad No: servers do not return the policy's CAA records for 1 of 2 names, 1 unknown.",
		"error":                  "doubtful Yes today, but 1 error must be fixed: every CA that was checked may issue for n0.example.",
		"nothing":                "doubtful Unknown: nothing was checked.",
		"nobody":                 "plain No CA may issue for n.example, as the policy says.",
		"nobody, and errors":     "doubtful No CA may issue for n.example, as the policy says, but 1 error must be fixed.",
		"nobody for several":     "plain No CA may issue for any of the 2 names, as the policy says.",
		"any CA":                 "good Yes: any CA may issue for n0.example.",
		"every CA locked out":    "bad No: no CA may issue for n0.example.",
		"domain missing":         "bad No: n0.example is in a domain that does not exist.",
		"domains missing":        "bad No: 2 of 3 names are locked out (1 in a domain that does not exist).",
	}
	for name, found := range results() {
		text, class := Of(found).answer()
		if got := class + " " + text; got != want[name] {
			t.Errorf("%s: %s\nwant %s", name, got, want[name])
		}
		// Green is for what the exit code calls fine alone.
		if class == "good" && ExitCode(found) != ExitFine {
			t.Errorf("%s is %s, and the exit code %d", name, class, ExitCode(found))
		}
	}
}

// What is wrong comes first, and thousands of names make a page that can be opened: all in the table,
// the first of them with pictures.
func TestPageOfManyNames(t *testing.T) {
	t.Parallel()
	r := &Report{Version: 1, Complete: true}
	for i := range 2000 {
		n := Name{Name: fmt.Sprintf("n%d.example.org", i), Verdicts: []Verdict{{Issuer: "ca.example", Outcome: verdict.MayIssue}}}
		n.Climb = []Step{{Name: n.Name}, {Name: "example.org", Properties: []Property{{0, "issue", "ca.example"}}}}
		n.Zones = []Zone{{Name: "."}, {Name: "org"}, {Name: "example.org"}}
		r.Names = append(r.Names, n)
	}
	r.Names[1999].Verdicts[0].Outcome = verdict.LockedOut
	r.Names[1000].Verdicts[0].Outcome = verdict.AtRisk
	text, root := pageOf(t, r)
	rows, sections, open := []string{}, []string{}, 0
	for n := range root.Descendants() {
		switch {
		case n.Data == "td" && n.Attr[1].Val == "name":
			name := n.FirstChild
			for name.FirstChild != nil {
				name = name.FirstChild
			}
			rows = append(rows, name.Data)
		case n.Data == "h3":
			sections = append(sections, n.FirstChild.Data)
		case n.Data == "details" && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "open" }):
			open++
		}
	}
	first := []string{"n1999.example.org", "n1000.example.org", "n0.example.org"}
	if len(rows) != 2000 || !slices.Equal(rows[:3], first) || len(sections) != mostSections || !slices.Equal(sections[:3], first) || open != 2 {
		t.Errorf("%d rows %v, %d sections %v, %d open", len(rows), rows[:3], len(sections), sections[:3], open)
	}
	if !strings.Contains(text, "1800 more names are only in the table") {
		t.Error("it does not say that names are left out")
	}
	if len(text) > 3<<20 {
		t.Errorf("the page has %d MB", len(text)>>20)
	}
}

func TestComing(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC)
	zone := func(name string, days int, over string) Zone {
		return Zone{Name: name, Ends: []End{{At: at.AddDate(0, 0, days), Over: over, keys: strings.HasSuffix(over, " DNSKEY")}}}
	}
	r := &Report{At: at, Names: []Name{
		{Name: "a.example", Zones: []Zone{zone(".", 10, ". DNSKEY"), zone("example", 5, "a.example CAA")}},
		{Name: "b.example", Zones: []Zone{zone(".", 10, ". DNSKEY"), zone("example", 3, "b.example CAA")}},
	}, Findings: []Finding{{finding.Finding{Code: "parameters-bind-later"}, []string{"b.example"}}}}
	got := ""
	for _, c := range r.Coming() {
		got += fmt.Sprintln(c.At.Format(time.DateOnly), c.In(at), c.Text, c.Names)
	}
	want := `2026-12-23 in 3 days Signatures of example expire, the first one over b.example CAA. []
2026-12-30 in 10 days The signature over the DNSKEY RRset of the root expires. []
2027-02-05 in 47 days A certificate of 47 days that is issued today has expired: its renewal meets all changes before this day. []
2027-03-15 in 85 days Account and method parameters in CAA bind every CA (RFC 8657). [b.example]
2027-03-15 in 85 days Certificates are valid for at most 100 days, and a validation may be reused for 100. []
2029-03-15 in 816 days Certificates are valid for at most 47 days, and a validation may be reused for 10. []
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestBoxLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"short", "short"},
		{"exactly ten", "exactly/ten"},
		{"www.example.org", "www./example./org"},
		{"0123456789abc", "0123456789/abc"},
		{"域名域名域名域名", "域名域名域/名域名"},
		{strings.Repeat("x", 60), "xxxxxxxxxx/xxxxxxxxxx/xxxxxxxxxx/xxxxxxxxx…"},
		{"a\x1bb\u202Ec\xff", `a\x1bb\u20/2ec\xff`},
	} {
		if got := strings.Join(boxLines(tt.text, 10, 4), "/"); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 20, 23, 0, 0, 0, time.UTC)
	for days, want := range map[time.Duration]string{30 * time.Minute: "today", time.Hour: "tomorrow", 25 * time.Hour: "in 2 days"} {
		if got := (Coming{At: now.Add(days)}).In(now); got != want {
			t.Errorf("%v: %s, want %s", days, got, want)
		}
	}
}
