package issuance

import (
	"errors"
	"strings"
	"testing"
)

var errServFail = errors.New("SERVFAIL")

func TestClimb(t *testing.T) {
	t.Parallel()
	here := RRset{{Tag: TagIssue, Value: le}}
	for _, c := range []struct {
		name, ask, found, failing string
		wantOwner, wantAsked      string
		wantErr                   error
	}{
		{"8659 3: at the name", "www.example.org.", "www.example.org.", "", "www.example.org.", "www.example.org.", nil},
		{"8659 3: above it", "a.www.example.org.", "example.org.", "", "example.org.", "a.www.example.org. www.example.org. example.org.", nil},
		{"8659 3: at the top-level domain", "example.org.", "org.", "", "org.", "example.org. org.", nil},
		{"8659 3: nowhere, the root not asked", "example.org.", ".", ".", "", "example.org. org.", nil},
		{"8659 3: the root itself", ".", ".", ".", "", "", nil},
		{"BR 4.2.2.1: an error nearer ends it", "www.example.org.", "example.org.", "www.example.org.", "www.example.org.", "www.example.org.", errServFail},
		{"BR 4.2.2.1: an error above is not met", "www.example.org.", "example.org.", "org.", "example.org.", "www.example.org. example.org.", nil},
		{"BR 4.2.2.1: an error above an absence", "www.example.org.", "", "org.", "org.", "www.example.org. example.org. org.", errServFail},
		{"1035 5.1: an escaped dot is no cut", `a\.b.example.org.`, "org.", "", "org.", `a\.b.example.org. example.org. org.`, nil},
		{"1035 5.1: nor is an escaped backslash an escape", `a\\.example.org.`, "org.", "", "org.", `a\\.example.org. example.org. org.`, nil},
		{"1035 5.1: decimal escapes", `a\046b.example.org.`, "org.", "", "org.", `a\046b.example.org. example.org. org.`, nil},
		{"without the root's dot", "www.example.org", "example.org", "", "example.org", "www.example.org example.org", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			rrset, owner, err := Climb(c.ask, func(name string) (RRset, error) {
				asked = append(asked, name)
				switch name {
				case c.failing:
					return nil, errServFail
				case c.found:
					return here, nil
				}
				return nil, nil
			})
			if owner != c.wantOwner || strings.Join(asked, " ") != c.wantAsked || !errors.Is(err, c.wantErr) {
				t.Errorf("found at %q after asking %q, %v", owner, asked, err)
			}
			if (len(rrset) > 0) != (c.wantOwner != "" && c.wantErr == nil) {
				t.Errorf("the RRset is %+v", rrset)
			}
		})
	}
}
