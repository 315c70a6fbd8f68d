package report

import (
	"strings"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/checker/verdict"
)

// What the perspectives saw, for people: those that do not corroborate and, with -v, all.
func TestWriteCorroboration(t *testing.T) {
	t.Parallel()
	place := func(i int) quorum.Coordinates { return quorum.Coordinates{Longitude: 20 * float64(i)} }
	observations := []perspective.Observation{
		{Perspective: "here", View: quorum.Permits, Reason: "authorized", Records: []string{`0 issue "ca.example"`}, FoundAt: "example.org."},
		{Perspective: "ohio", View: quorum.Permits, Reason: "authorized"},
		{Perspective: "oslo", View: quorum.Denies, Reason: "issuer-not-listed", Records: []string{`0 issue "x.example"`}, FoundAt: "example.org."},
		{Perspective: "lima", View: quorum.Unknown, Reason: "no-answer", Detail: "the agent: refused\x1b[2J"},
		{Perspective: "near", View: quorum.Permits, Reason: "authorized"},
		{Perspective: "cairo", View: quorum.Permits, Reason: "authorized"},
	}
	var all []quorum.Perspective
	for i := range observations {
		s := &observations[i]
		s.Region, s.Primary = quorum.Regions()[i%5], i == 0
		all = append(all, quorum.Perspective{Name: s.Perspective, View: s.View, Place: place(i), Region: s.Region})
	}
	all[4].Place.Longitude = 61
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	v := Verdict{Issuer: "ca.example", Outcome: verdict.Unknown, Reason: "quorum-undetermined", Detail: "may issue from here; why", Fix: "find out why perspectives do not answer", Corroboration: &perspective.Judged{
		Observations: observations, Quorum: quorum.Judge(all[0], all[1:], quorum.RuleOf(day)), Later: quorum.Later(all[0], all[1:], day),
	}}
	r := &Report{Complete: true, Names: []Name{{Name: "www.example.org", Verdicts: []Verdict{v}}}}
	well := *v.Corroboration
	well.Quorum.Outcome, well.Later = quorum.Corroborated, nil
	var text strings.Builder
	Verdict{Corroboration: &well}.writeCorroboration(&text, Style{})
	if want := "a CA whose primary perspective sees the same as oslo must not issue\n"; !strings.HasSuffix(text.String(), want) {
		t.Errorf("got\n%s\nwant %s at the end", &text, want)
	}
	tests := []struct {
		style Style
		want  string
	}{
		{Style{}, `Unknown: whether www.example.org may have certificates could not be determined.

www.example.org
    ca.example  unknown  quorum-undetermined: may issue from here; why
        undetermined by 2 of 4 remote perspectives, in 2 regions, by the rule of 2026-06-15 (non-corroborations)
            oslo  ARIN      denies          issuer-not-listed: 0 issue "x.example" at example.org
            lima  LACNIC    unknown         no-answer: the agent: refused\x1b[2J
            near  RIPE NCC  does not count  111 km from lima, and 500 are required; it permits: authorized
        the outcome depends on one perspective: oslo or lima
        from 2026-12-15 on: undetermined (enough-remotes, non-corroborations)
        fix: find out why perspectives do not answer
`},
		{Style{Verbose: true}, "            here   AFRINIC, primary  permits         authorized: 0 issue \"ca.example\" at example.org\n"},
		{Style{Colour: true}, "oslo  \x1b[2mARIN\x1b[0m      \x1b[31mdenies\x1b[0m  "},
	}
	for _, tt := range tests {
		var out strings.Builder
		if err := r.WriteText(&out, tt.style); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); tt.style == (Style{}) && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}

// What the perspectives saw is in what CI and people's browsers get, too: all of it in JUnit and on the page, what
// does not corroborate in SARIF.
func TestCorroborationElsewhere(t *testing.T) {
	t.Parallel()
	observations := []perspective.Observation{
		{Perspective: "here", View: quorum.Permits, Reason: "authorized"},
		{Perspective: "ohio<b>", View: quorum.Permits, Reason: "authorized"},
		{Perspective: "oslo", View: quorum.Denies, Reason: "issuer-not-listed", Records: []string{`0 issue "x.example"`}, FoundAt: "example.org."},
	}
	var all []quorum.Perspective
	for i := range observations {
		s := &observations[i]
		s.Region, s.Primary = quorum.Regions()[i%5], i == 0
		all = append(all, quorum.Perspective{Name: s.Perspective, View: s.View, Place: quorum.Coordinates{Longitude: 20 * float64(i)}, Region: s.Region})
	}
	judged := &perspective.Judged{Observations: observations, Quorum: quorum.Judge(all[0], all[1:], quorum.RuleOf(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)))}
	relevant := &Relevant{Owner: "example.org"}
	r := &Report{Complete: true, Names: []Name{{Name: "www.example.org", Relevant: relevant, Climb: []Step{{Name: "www.example.org"}}, Verdicts: []Verdict{
		{Issuer: "ca.example", Outcome: verdict.LockedOut, Reason: "not-corroborated", Corroboration: judged},
		{Issuer: "other.example", Outcome: verdict.MayIssue, Corroboration: judged},
	}}}}
	for form, c := range map[string]struct {
		write   func(*strings.Builder) error
		want    []string
		without string
	}{
		"JUnit": {func(w *strings.Builder) error { return r.WriteJUnit(w) }, []string{"by 1 of 2 remote perspectives, in 1 region, by the rule of 2026-06-15", "ohio&lt;b&gt;  APNIC             permits", "oslo     ARIN              denies   issuer-not-listed: 0 issue &#34;x.example&#34; at example.org"}, "ohio<b>"},
		"SARIF": {func(w *strings.Builder) error { return r.WriteSARIF(w) }, []string{"by 1 of 2 remote perspectives", `oslo (ARIN) denies (issuer-not-listed: 0 issue \"x.example\" at example.org)`}, "ohio"},
		"HTML":  {func(w *strings.Builder) error { return r.WriteHTML(w) }, []string{"What the perspectives see for ca.example: ", "What the perspectives see for other.example: ", "<b>ohio&lt;b&gt;</b>", `<b>oslo</b> <span class="small">(ARIN)`, "(AFRINIC, primary)"}, "ohio<b>"},
	} {
		var out strings.Builder
		if err := c.write(&out); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in\n%s", form, want, &out)
			}
		}
		if strings.Contains(out.String(), c.without) {
			t.Errorf("%s: %q in\n%s", form, c.without, &out)
		}
	}
}
