package report

import (
	"encoding/xml"
	"io"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"

	"github.com/coredns-caa/caa/checker/verdict"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// The elements of JUnit's XML that Jenkins, GitLab and GitHub's actions read alike. There is no standard
// of it; this is what Ant's JUnit task wrote.
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCounts
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string `xml:"name,attr"`
		Timestamp string `xml:"timestamp,attr"`
		junitCounts
		Cases []junitCase `xml:"testcase"`
	}
	junitCounts struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (c *junitCounts) add(d junitCounts) {
	c.Tests, c.Failures, c.Errors = c.Tests+d.Tests, c.Failures+d.Failures, c.Errors+d.Errors
}

// WriteJUnit writes the report as test cases for CI: each verdict one of its name's suite, each finding
// one of the suite "findings". What makes the exit code 1 is a failure, what makes it 2 an error;
// warnings pass, with their text.
func (r *Report) WriteJUnit(w io.Writer) error {
	out := junitSuites{Name: "caacheck"}
	add := func(name string, cases []junitCase) {
		s := junitSuite{Name: terminal.Clean(name), Timestamp: r.At.Format(time.RFC3339), Cases: cases}
		for _, c := range cases {
			s.Tests++
			if c.Failure != nil {
				s.Failures++
			}
			if c.Error != nil {
				s.Errors++
			}
		}
		out.add(s.junitCounts)
		out.Suites = append(out.Suites, s)
	}
	for _, n := range r.Names {
		add(n.Name, n.junit())
	}
	var found []junitCase
	for _, f := range r.Findings {
		found = append(found, f.junit())
	}
	add("findings", found)
	if !r.Complete {
		add("run", []junitCase{{Class: "run", Name: "complete", Error: &junitProblem{Type: "interrupted", Message: "interrupted: names are missing"}}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (n Name) junit() []junitCase {
	var out []junitCase
	for _, v := range n.Verdicts {
		c := junitCase{Class: terminal.Clean(n.Name), Name: terminal.Clean(v.asked()) + " may issue"}
		because := &junitProblem{Type: string(v.Reason), Message: v.Outcome.String() + ": " + terminal.Clean(v.because(n)), Text: strings.TrimSuffix(v.corroborated()+"fix: "+terminal.Clean(v.Fix), "\n")}
		switch v.Outcome {
		case verdict.MayIssue:
			c.Out = strings.TrimSuffix(terminal.Clean(v.because(n))+"\n"+v.corroborated(), "\n")
		case verdict.Unknown:
			c.Error = because
		default:
			c.Failure = because
		}
		out = append(out, c)
	}
	if len(n.Verdicts) == 0 {
		out = append(out, junitCase{Class: terminal.Clean(n.Name), Name: "no CA was checked", Out: terminal.Clean(n.nobody())})
	}
	for _, d := range n.Drift {
		out = append(out, junitCase{
			Class: terminal.Clean(n.Name), Name: terminal.Clean(d.Server) + " returns the CAA records of the policy",
			Failure: &junitProblem{Type: drift.Code, Message: terminal.Clean(d.text()), Text: "fix: " + d.Fix},
		})
	}
	return out
}

func (f Finding) junit() junitCase {
	c := junitCase{Class: terminal.Clean(f.Subject), Name: f.Code + ": " + terminal.Clean(f.Text)}
	var lines []string
	for _, evidence := range f.Evidence {
		lines = append(lines, terminal.Clean(evidence))
	}
	text := strings.Join(append(lines, "fix: "+f.advice()), "\n")
	if f.Severity == catalog.Error {
		c.Failure = &junitProblem{Type: f.Code, Message: terminal.Clean(f.Text), Text: text}
	} else {
		c.Out = f.Severity.String() + ": " + text
	}
	return c
}
