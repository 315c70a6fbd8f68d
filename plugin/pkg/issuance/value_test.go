package issuance

import (
	"errors"
	"slices"
	"testing"
)

func TestParseIssueValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		domain      string
		parameters  []Parameter
		normal      string
	}{
		{"8659 4.2: empty", "", "", nil, ";"},
		{"8659 4.2: nobody", ";", "", nil, ";"},
		{"8659 4.2: white space alone", " \t", "", nil, ";"},
		{"8659 4.2: a domain", "ca.example", "ca.example", nil, "ca.example"},
		{"8659 4.2: a single label", "ca", "ca", nil, "ca"},
		{"8659 4.2: hyphens", "a--b.c-d", "a--b.c-d", nil, "a--b.c-d"},
		{"8659 4.2: white space around", "\tca.example ", "ca.example", nil, "ca.example"},
		{"8659 4.2: semicolon without parameters", "ca.example ; ", "ca.example", nil, "ca.example"},
		{"8659 4.2: a parameter", "ca.example;a=b", "ca.example", []Parameter{{"a", "b"}}, "ca.example; a=b"},
		{"8659 4.2: white space wherever it may stand", " ca.example ; a = b\t;\tc = d ", "ca.example", []Parameter{{"a", "b"}, {"c", "d"}}, "ca.example; a=b; c=d"},
		{"8659 4.2: parameters of nobody", "; a=b", "", []Parameter{{"a", "b"}}, "; a=b"},
		{"8659 4.2: empty value", "ca.example; a=", "ca.example", []Parameter{{"a", ""}}, "ca.example; a="},
		{"8659 4.2: equals sign in a value", "ca.example; a=b=c", "ca.example", []Parameter{{"a", "b=c"}}, "ca.example; a=b=c"},
		{"8659 4.2: hyphen in a tag", "ca.example; a-b=c", "ca.example", []Parameter{{"a-b", "c"}}, "ca.example; a-b=c"},
		{"normal form: lower case but for values", "CA.Example; AccountURI=https://ca.example/A", "CA.Example", []Parameter{{"AccountURI", "https://ca.example/A"}}, "ca.example; accounturi=https://ca.example/A"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseIssueValue(c.value)
			if err != nil || got.Domain != c.domain || !slices.Equal(got.Parameters, c.parameters) {
				t.Errorf("%q reads as %+v, %v", c.value, got, err)
			}
			if got.String() != c.normal {
				t.Errorf("%q has the normal form %q, want %q", c.value, got.String(), c.normal)
			}
		})
	}
}

func TestParseIssueValueErrors(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"%%":                      `"%%" is not an Issuer Domain Name, at octet 1`,
		" ca.example.":            `"ca.example." is not an Issuer Domain Name, at octet 2`,
		"ca..example":             `"ca..example" is not an Issuer Domain Name, at octet 1`,
		"-ca.example":             `"-ca.example" is not an Issuer Domain Name, at octet 1`,
		"ca-.example":             `"ca-.example" is not an Issuer Domain Name, at octet 1`,
		"ca example":              `"ca example" is not an Issuer Domain Name, at octet 1`,
		"ca.example\n":            `"ca.example\n" is not an Issuer Domain Name, at octet 1`,
		"bücher.example":          `"bücher.example" is not an Issuer Domain Name, at octet 1`,
		"ca.example; a=b;":        `a parameter is missing after the semicolon, at octet 17`,
		"ca.example; ;a=b":        `a parameter is missing after the semicolon, at octet 12`,
		"ca.example;;":            `a parameter is missing after the semicolon, at octet 12`,
		"ca.example; a":           `the parameter "a" has no value, at octet 13`,
		"ca.example; a=b; c d=e":  `"c d" is not a parameter's tag, at octet 18`,
		"ca.example; -a=b":        `"-a" is not a parameter's tag, at octet 13`,
		"ca.example; =b":          `"" is not a parameter's tag, at octet 13`,
		"ca.example; a=b c":       `the value of a holds the octet 0x20, at octet 16`,
		"ca.example; a = b\x7f":   `the value of a holds the octet 0x7f, at octet 18`,
		"ca.example; a=b; c=\xff": `the value of c holds the octet 0xff, at octet 20`,
	} {
		_, err := ParseIssueValue(value)
		var at *ValueError
		if !errors.As(err, &at) || err.Error() != want || at.Offset > len(value) {
			t.Errorf("%q: %v, want %s", value, err, want)
		}
	}
}

func FuzzParseIssueValue(f *testing.F) {
	for _, v := range []string{"", ";", le, le + "; accounturi=https://a/1", le + ";", "; ;", " a.b ; c = d ", "a;b=;", "A.B;C=D", "a; =b", "a;\xff=", "-a;b", "a;;", "\t;\t"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseIssueValue(s)
		if err != nil {
			var at *ValueError
			if !errors.As(err, &at) || at.Offset < 0 || at.Offset > len(s) {
				t.Errorf("%q: the error is at no octet of it: %v", s, err)
			}
			return
		}
		again, err := ParseIssueValue(v.String())
		if err != nil || again.String() != v.String() || !equalFold(again.Domain, v.Domain) || len(again.Parameters) != len(v.Parameters) {
			t.Errorf("%q reads as %+v, its normal form %q as %+v (%v)", s, v, v.String(), again, err)
		}
		for i, p := range again.Parameters {
			if p.Value != v.Parameters[i].Value || !equalFold(p.Tag, v.Parameters[i].Tag) {
				t.Errorf("%q: parameter %d becomes %+v", s, i, p)
			}
		}
		for _, x := range []Syntax{{LastSemicolon: true}, {EmptyTag: true}, {true, true}} {
			if lenient, err := x.parse(s); err != nil || lenient.String() != v.String() {
				t.Errorf("%q: %+v reads well-formed text otherwise: %+v, %v", s, x, lenient, err)
			}
		}
	})
}
