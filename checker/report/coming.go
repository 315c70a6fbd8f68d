package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// End is when an RRset of a zone stops validating unless it is signed again.
type End struct {
	At   time.Time `json:"at"`
	From time.Time `json:"from"` // when that signature began
	Over string    `json:"over"` // name and type

	keys bool // of the DNSKEY RRset
}

// Coming is a day from which something that is fine today may be wrong.
type Coming struct {
	At    time.Time `json:"at"`
	Text  string    `json:"text"`
	Names []string  `json:"names,omitempty"` // that it matters to; nil for all
}

// MarshalJSON adds what comes next.
func (r *Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(struct {
		*plain
		Coming []Coming `json:"coming"`
	}{(*plain)(r), r.Coming()})
}

// shownComing is how much of what comes next people are shown in text.
const shownComing = 20

// writeComing lists what comes next.
func (r *Report) writeComing(out *strings.Builder, s Style) {
	out.WriteString("what comes next\n")
	coming := r.Coming()
	for i, c := range coming {
		if i == shownComing {
			fmt.Fprintf(out, "    and %d more, to %s\n", len(coming)-i, coming[len(coming)-1].At.UTC().Format(time.DateOnly))
			break
		}
		text := c.Text
		if n := len(c.Names); n > 0 {
			text += " (" + counted(n, "name") + ")"
		}
		out.WriteString(s.wrap("    "+c.At.UTC().Format(time.DateOnly)+"  ", text))
	}
	out.WriteString("\n")
}

// rules are the Baseline Requirements' days, with what each brings (ballots SC-067, SC-081, SC-098).
var rules = []struct {
	day     time.Time
	text    string
	finding string // of names that it matters to; "" for all
}{
	{day(2026, 12, 15), "CAs check from at least five remote perspectives (BR 3.2.2.9).", ""},
	{issuance.ParametersBind.From, "Account and method parameters in CAA bind every CA (RFC 8657).", "parameters-bind-later"},
	{day(2027, 3, 15), "Certificates are valid for at most 100 days, and a validation may be reused for 100.", ""},
	{day(2029, 3, 15), "Certificates are valid for at most 47 days, and a validation may be reused for 10.", ""},
}

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// shortLife is how long a certificate lives at most from 2029 on: by then each is renewed, and has met
// what has changed.
const shortLife = 47

// Coming lists what will break or change next, the earliest first: the first signatures of each zone to
// end, of its keys and of all else, the end of a short certificate's life, and the rules to come.
func (r *Report) Coming() []Coming {
	out := append(r.ends(), Coming{At: r.At.AddDate(0, 0, shortLife), Text: fmt.Sprintf("A certificate of %d days that is issued today has expired: its renewal meets all changes before this day.", shortLife)})
	for _, rule := range rules {
		if !rule.day.After(r.At) {
			continue
		}
		c := Coming{At: rule.day, Text: rule.text}
		for _, f := range r.Findings {
			if rule.finding != "" && f.Code == rule.finding {
				c.Names = append(c.Names, f.Names...)
			}
		}
		out = append(out, c)
	}
	for i := range out {
		if len(out[i].Names) == len(r.Names) {
			out[i].Names = nil
		}
	}
	slices.SortStableFunc(out, func(a, b Coming) int { return a.At.Compare(b.At) })
	return out
}

func (r *Report) ends() []Coming {
	var out []Coming
	index := map[string]int{}
	for _, n := range r.Names {
		for _, z := range n.Zones {
			for _, end := range z.Ends {
				key := fmt.Sprint(z.Name, end.keys)
				i, known := index[key]
				if !known {
					i = len(out)
					index[key], out = i, append(out, Coming{At: end.At})
				}
				if c := &out[i]; !known || end.At.Before(c.At) {
					c.At, c.Text = end.At, fmt.Sprintf("Signatures of %s expire, the first one over %s.", zoneName(z.Name), end.Over)
					if end.keys {
						c.Text = fmt.Sprintf("The signature over the DNSKEY RRset of %s expires.", zoneName(z.Name))
					}
				}
				out[i].Names = append(out[i].Names, n.Name)
			}
		}
	}
	return out
}

func zoneName(name string) string {
	if name == "." {
		return "the root"
	}
	return name
}

// In says how far off its day is.
func (c Coming) In(now time.Time) string {
	const day = 24 * time.Hour
	switch days := int(c.At.UTC().Truncate(day).Sub(now.UTC().Truncate(day)) / day); days {
	case 0:
		return "today"
	case 1:
		return "tomorrow"
	default:
		return fmt.Sprintf("in %d days", days)
	}
}

func others(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
