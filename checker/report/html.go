package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

//go:embed page.css
var pageStyle string

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// mostSections is how many names have pictures: a browser is slow with more. The table has all names; names with
// something wrong have pictures first.
const mostSections = 200

// The sections of names are open while something is wrong with them and they are few, or if there are hardly any
// names.
const (
	mostOpen  = 10
	hardlyAny = 3
)

const (
	shownDay  = "2 January 2006"
	shownTime = "2 January 2006, 15:04 MST"
)

// page is a report as its template takes it.
type page struct {
	Style    template.CSS
	Policy   string // Content-Security-Policy: this style and nothing else, and no script
	Answer   string
	Class    string // of the answer
	At       string
	RulesOf  string
	Counts   []tally
	Notes    []string
	Rows     []row
	Names    []section
	LeftOut  int // names without a section
	Findings []pageFinding
	Coming   []pageComing
}

type tally struct{ Text, Class, Link string }

// row is one line of the table of verdicts.
type row struct {
	Name, Link string // Link is the section's id, if there is one
	Who        string
	Outcome    badge
	Reason     string
	Record     string
	Where      string
	Detail     string
	Fix        string
	rank       int
}

// badge shows something by words, a mark and a color.
type badge struct{ Text, Mark, Class string }

var outcomeBadges = map[verdict.Outcome]badge{
	verdict.MayIssue:  {verdict.MayIssue.String(), "✓", "good"},
	verdict.AtRisk:    {verdict.AtRisk.String(), "!", "doubtful"},
	verdict.LockedOut: {verdict.LockedOut.String(), "✕", "bad"},
	verdict.Unknown:   {verdict.Unknown.String(), "?", "doubtful"},
}

var severityBadges = map[catalog.Severity]badge{
	catalog.Error:   {"error", "✕", "bad"},
	catalog.Warning: {"warning", "!", "doubtful"},
	catalog.Info:    {"remark", "i", "plain"},
}

var (
	driftBadge     = badge{"not the policy's", "≠", "bad"}
	nobodyBadge    = badge{"nobody may issue", "–", "plain"}
	uncheckedBadge = badge{"not checked", "–", "plain"}
)

// outcomeRanks order the table: the worst first.
var outcomeRanks = map[verdict.Outcome]int{verdict.LockedOut: 0, verdict.AtRisk: 2, verdict.Unknown: 3, verdict.MayIssue: 5}

const (
	driftRank  = 1
	nobodyRank = 4
)

type section struct {
	ID       string
	Name     string
	Open     bool
	Badges   []badge
	Pictures []picture
	Steps    []pageStep
	Zones    []pageZone
	Drift    []string
	Views    []pageViews
}

// pageViews are what the perspectives saw for one verdict.
type pageViews struct {
	Who, Judged  string
	Observations []pageSight
	Notes        []string
}

type pageSight struct {
	Badge           badge
	Who, Where, Why string
}

// viewBadges are how what a perspective saw looks.
var viewBadges = map[quorum.View]badge{
	quorum.Permits:  {quorum.Permits.String(), "✓", "good"},
	quorum.Denies:   {quorum.Denies.String(), "✕", "bad"},
	quorum.Disputed: {quorum.Disputed.String(), "!", "doubtful"},
	quorum.Unknown:  {quorum.Unknown.String(), "?", "doubtful"},
}

// uncountedBadge is that of a perspective that does not count, whatever it saw.
var uncountedBadge = badge{uncounted, "–", "plain"}

type pageStep struct {
	Name, What string
	Aliases    []string
	Servers    []string
}

type pageZone struct {
	Name, Status, Delegation string
	Ends                     []string
	Servers                  []string
}

type pageFinding struct {
	Badge          badge
	Code           string
	Subject        string
	Text           string
	Evidence, More []string
	Fix            string
	Citations      []citation
	Names          string
}

type pageComing struct{ Day, In, Text, Names string }

// WriteHTML writes the report as one page that needs nothing else: no script, no picture or font from
// elsewhere, which its Content-Security-Policy forbids.
func (r *Report) WriteHTML(w io.Writer) error {
	sum := sha256.Sum256([]byte(pageStyle))
	p := page{
		Style:  template.CSS(pageStyle),
		Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
		At:     r.At.UTC().Format(shownTime), RulesOf: r.RulesOf,
		Counts: r.tallies(),
	}
	p.Answer, p.Class = r.answer()
	for _, note := range r.Notes {
		p.Notes = append(p.Notes, terminal.Clean(note))
	}
	p.addNames(r.Names)
	for _, f := range r.Findings {
		p.Findings = append(p.Findings, f.page(len(r.Names)))
	}
	for _, c := range r.Coming() {
		p.Coming = append(p.Coming, pageComing{c.At.Format(shownDay), c.In(r.At), terminal.Clean(c.Text), terminal.Clean(others(c.Names))})
	}
	return pageTemplate.Execute(w, p)
}

// addNames fills the table, and makes the sections of the first names in its order.
func (p *page) addNames(names []Name) {
	rows := make([][]row, len(names))
	var order []int
	for i, n := range names {
		rows[i] = n.rows()
		order = append(order, i)
	}
	worst := func(i int) int { return slices.MinFunc(rows[i], byRank).rank }
	slices.SortStableFunc(order, func(a, b int) int { return worst(a) - worst(b) })
	for place, i := range order {
		id := ""
		if place < mostSections {
			id = fmt.Sprintf("name-%d", i+1)
			p.Names = append(p.Names, names[i].section(id, rows[i], worst(i) < nobodyRank && place < mostOpen || len(names) <= hardlyAny))
		}
		for _, line := range rows[i] {
			line.Link = id
			p.Rows = append(p.Rows, line)
		}
	}
	p.LeftOut = len(names) - len(p.Names)
	slices.SortStableFunc(p.Rows, byRank)
}

func byRank(a, b row) int { return a.rank - b.rank }

func (r *Report) tallies() []tally {
	t := r.totals()
	out := []tally{{counted(t.names, "name"), "plain", ""}}
	for _, o := range []verdict.Outcome{verdict.MayIssue, verdict.AtRisk, verdict.LockedOut, verdict.Unknown} {
		if b := outcomeBadges[o]; t.outcomes[o] > 0 {
			out = append(out, tally{fmt.Sprintf("%d %s", t.outcomes[o], b.Text), b.Class, ""})
		}
	}
	for _, s := range []catalog.Severity{catalog.Error, catalog.Warning, catalog.Info} {
		if b := severityBadges[s]; t.severities[s] > 0 {
			out = append(out, tally{counted(t.severities[s], b.Text), b.Class, "findings"})
		}
	}
	return out
}

// rows are a name's lines of the table: one at least.
func (n Name) rows() []row {
	var out []row
	like := row{Name: short(n.Name)}
	for _, v := range n.Verdicts {
		line := like
		line.Who, line.Outcome, line.Detail, line.rank = short(v.who()), outcomeBadges[v.Outcome], short(v.Detail), outcomeRanks[v.Outcome]
		if v.Outcome != verdict.MayIssue {
			line.Reason, line.Fix = string(v.Reason), terminal.Clean(v.Fix)
		}
		switch {
		case v.Property != nil && n.Relevant != nil:
			line.Record, line.Where = short(v.Property.String()), n.Relevant.where()
		case n.Relevant != nil && v.Outcome == verdict.MayIssue:
			line.Where = "no CAA record restricts it " + n.Relevant.where()
		case v.Property == nil && line.Detail == "":
			line.Where = terminal.Clean(v.because(n))
		}
		out = append(out, line)
	}
	if len(n.Verdicts) == 0 && (n.Relevant == nil || len(n.Drift) == 0) { // otherwise the drift is what there is to show
		line := like
		line.Outcome, line.rank = uncheckedBadge, nobodyRank
		if n.Relevant != nil {
			line.Outcome, line.Where = nobodyBadge, short(n.nobody())
		}
		out = append(out, line)
	}
	for _, d := range together(n.Drift) {
		line := like
		line.Outcome, line.Detail, line.Fix, line.rank = driftBadge, short(d.text()), d.Fix, driftRank
		out = append(out, line)
	}
	return out
}

func (r Relevant) where() string {
	return "at " + short(r.Owner) + ", " + r.Security.Status.String()
}

func (n Name) section(id string, rows []row, open bool) section {
	out := section{ID: id, Name: terminal.Clean(n.Name), Open: open}
	for _, line := range rows {
		if !slices.Contains(out.Badges, line.Outcome) {
			out.Badges = append(out.Badges, line.Outcome)
		}
	}
	out.Pictures = append([]picture{n.climbPicture(id + "-climb")}, n.chainPictures(id+"-chain")...)
	for i := range out.Pictures {
		p := &out.Pictures[i]
		p.Caption, p.Title, p.Desc = terminal.Clean(p.Caption), terminal.Clean(p.Title), terminal.Clean(p.Desc)
	}
	for _, step := range n.Climb {
		out.Steps = append(out.Steps, pageStep{terminal.Clean(step.Name), terminal.Clean(step.what()), cleanAll(step.Aliases), cleanAll(step.Servers)})
	}
	for _, z := range n.Zones {
		zone := pageZone{Name: terminal.Clean(z.Name), Status: terminal.Clean(z.status()), Servers: cleanAll(z.Servers)}
		if len(z.DS) > 0 {
			zone.Delegation = "DS " + tags(z.DS)
		}
		for _, end := range z.Ends {
			zone.Ends = append(zone.Ends, terminal.Clean(end.Over)+" until "+end.At.UTC().Format(shownTime))
		}
		out.Zones = append(out.Zones, zone)
	}
	for _, d := range together(n.Drift) {
		out.Drift = append(out.Drift, terminal.Clean(d.text()))
	}
	for _, v := range n.Verdicts {
		if v.Corroboration == nil {
			continue
		}
		judged, observations, notes := v.corroboration()
		views := pageViews{Who: short(v.who()), Judged: judged, Notes: notes}
		for _, s := range observations {
			badge := viewBadges[s.view]
			if !s.counts {
				badge = uncountedBadge
			}
			views.Observations = append(views.Observations, pageSight{badge, s.who, s.where, s.why})
		}
		out.Views = append(out.Views, views)
	}
	return out
}

// page is a finding as the page shows it. More of the evidence than fits is folded away.
func (f Finding) page(names int) pageFinding {
	evidence := cleanAll(f.Evidence)
	shown := min(len(evidence), mostEvidence)
	out := pageFinding{
		Badge: severityBadges[f.Severity], Code: f.Code, Subject: terminal.Clean(f.Subject), Text: terminal.Clean(f.Text),
		Evidence: evidence[:shown], More: evidence[shown:], Fix: f.Fix, Citations: citations(f.Section),
	}
	if names > 1 && !slices.Equal(f.Names, []string{f.Subject}) {
		out.Names = terminal.Clean(others(f.Names))
	}
	return out
}

func cleanAll(texts []string) []string {
	var out []string
	for _, text := range texts {
		out = append(out, terminal.Clean(text))
	}
	return out
}

// short is a text for a table.
func short(text string) string {
	runes := []rune(terminal.Clean(text))
	if len(runes) > shownOfText {
		return string(runes[:shownOfText-1]) + "…"
	}
	return string(runes)
}
