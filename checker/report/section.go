package report

import (
	"regexp"
	"slices"
	"strings"
)

// citation is one document that a finding rests on, with its address where it has a lasting one.
type citation struct{ Text, URL string }

var rfc = regexp.MustCompile(`^RFC (\d+)(?: (\d[\d.]*))?$`)

// citations are those of a finding's section: "RFC 4035 5.3.1, BR 4.2.2.2".
func citations(section string) []citation {
	var out []citation
	for text := range strings.SplitSeq(section, ", ") {
		c := citation{Text: text}
		if m := rfc.FindStringSubmatch(text); m != nil {
			c.URL = "https://www.rfc-editor.org/rfc/rfc" + m[1]
			if m[2] != "" {
				c.URL += "#section-" + m[2]
			}
		}
		out = append(out, c)
	}
	return out
}

// firstLink is the address of the first document that has one.
func firstLink(section string) string {
	for _, c := range citations(section) {
		if c.URL != "" {
			return c.URL
		}
	}
	return ""
}

// advice is how to fix a finding, and by which document.
func (f Finding) advice() string { return f.Fix + " (" + f.Section + ")" }

// together is the drifts of a name with those of the same content as one, of several servers.
func together(drifts []Drift) []Drift {
	var out []Drift
	servers := map[int][]string{}
	for _, d := range drifts {
		i := slices.IndexFunc(out, func(o Drift) bool {
			return o.Pos == d.Pos && o.Alias == d.Alias && slices.Equal(o.Seen, d.Seen)
		})
		if i < 0 {
			i = len(out)
			out = append(out, d)
		}
		servers[i] = append(servers[i], d.Server)
	}
	for i, by := range servers {
		if n := len(by); n > 1 {
			out[i].Server = strings.Join(by[:n-1], ", ") + " and " + by[n-1]
			out[i].several = true
		}
	}
	return out
}

// text is what differs.
func (d Drift) text() string {
	seen := list(d.Seen)
	if d.Alias != "" {
		seen = "a CNAME record to " + d.Alias + ", whose CAA counts"
	}
	returns := "returns"
	if d.several {
		returns = "return"
	}
	return "the policy (" + d.Pos.String() + ") has " + list(d.Policy) + "; " + d.Server + " " + returns + " " + seen
}
