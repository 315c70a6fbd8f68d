package issuance

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// kind is what a tag grants.
type kind struct {
	of       CertificateType
	wildcard bool
}

// What a strict dialect knows a laxer one knows, and parameters that bind in a laxer one bind in a stricter one.
func TestTags(t *testing.T) {
	t.Parallel()
	seen, granted := map[string]bool{}, map[kind]string{}
	for _, tag := range Tags {
		if seen[tag.Name] || tag.Name != lower(tag.Name) || tag.Section == "" || tag.Text == "" {
			t.Errorf("%+v", tag)
		}
		seen[tag.Name] = true
		if len(tag.Known) == 0 || !slices.Equal(tag.Known, everyDialect[len(everyDialect)-len(tag.Known):]) {
			t.Errorf("%s is known in %v", tag.Name, tag.Known)
		}
		if !slices.Equal(tag.Binding, everyDialect[:len(tag.Binding)]) || !tag.Grants && len(tag.Binding) > 0 {
			t.Errorf("parameters of %s bind in %v", tag.Name, tag.Binding)
		}
		if !tag.Grants {
			continue
		}
		of := kind{tag.Type, tag.Wildcard}
		if granted[of] != "" {
			t.Errorf("%s and %s grant the same", tag.Name, granted[of])
		}
		granted[of] = tag.Name
		if decides := tag.Request().DecidingTag(RRset{{Tag: strings.ToUpper(tag.Name), Value: ";"}}); decides != tag.Name {
			t.Errorf("%s does not decide about what it grants, but %s", tag.Name, decides)
		}
	}
	for _, of := range CertificateTypes() {
		if (Request{Type: of}).DecidingTag(nil) == "" {
			t.Errorf("no tag grants %v", of)
		}
		if got, ok := ParseType(of.String()); !ok || got != of {
			t.Errorf("%v is read as %v", of, got)
		}
	}
}

// BR 4.2.2.1.2: from 2027-03-15 on each CA is bound by the parameters, understands the labels of the requirements, and
// may issue to a subordinate of the account that is named; no CA has to do the last.
func TestRules(t *testing.T) {
	t.Parallel()
	const eve, bound = "2027-03-14", "2027-03-15"
	parent := Request{Issuers: []string{"ca.example"}, Account: "x:sub", ParentAccount: "x:main"}
	label := Request{Issuers: []string{"ca.example"}, Method: "dns-01"}
	for _, c := range []struct {
		name, value string
		req         Request
		early       []*Rule
		day         string
		permitted   string // by strict, RFC and lax
	}{
		{"parameters may be ignored", "ca.example; accounturi=x:1", label, nil, eve, "no no yes"},
		{"by a CA that does not process them yet", "ca.example; accounturi=x:1", label, []*Rule{&ParametersBind}, eve, "no no no"},
		{"parameters bind", "ca.example; accounturi=x:1", label, nil, bound, "no no no"},
		{"the label is not understood", "ca.example; validationmethods=ca-tbr-7", label, []*Rule{&ParametersBind}, eve, "no no no"},
		{"the label may be accepted", "ca.example; validationmethods=ca-tbr-7", label, nil, bound, "no no yes"},
		{"the very account", "ca.example; accounturi=x:sub", parent, nil, bound, "yes yes yes"},
		{"the Parent Account, too early", "ca.example; accounturi=x:main", parent, []*Rule{&ParametersBind}, eve, "no no no"},
		{"the Parent Account may be accepted", "ca.example; accounturi=x:main", parent, nil, bound, "no no yes"},
		{"another account", "ca.example; accounturi=x:other", parent, nil, bound, "no no no"},
		{"no Parent Account", "ca.example; accounturi=", Request{Issuers: parent.Issuers, Account: "x:sub"}, nil, bound, "no no no"},
	} {
		day, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range DialectsAt(day, c.early...) {
			got = append(got, map[bool]string{true: "yes", false: "no"}[Decide(RRset{{Tag: TagIssue, Value: c.value}}, c.req, d).Permitted])
		}
		if strings.Join(got, " ") != c.permitted {
			t.Errorf("%s: %v, want %s", c.name, got, c.permitted)
		}
	}
	if !slices.IsSortedFunc(Rules, func(a, b *Rule) int { return a.From.Compare(b.From) }) {
		t.Error("the rules are not in the order of their days")
	}
}
