package main

import (
	"strings"
	"testing"
)

// Sections move up by a level, tables become lists, and code stays as it is.
func TestManual(t *testing.T) {
	got := string(manual(`CAA 7 "May 2026" "coredns-caa v1.0.0"`, []byte(`# caa

## Name

*caa* - does it.

### Limits

| limit | at most | why |
|---|---|---|
| size | 16 | much |

~~~ txt
# a comment
| no | table |
~~~
`)))
	for _, want := range []string{
		`.TH CAA 7 "May 2026" "coredns-caa v1.0.0"`, ".SH NAME\n", ".SS Limits\n", "size, 16: much", "# a comment\n| no | table |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	for _, not := range []string{"at most", "---", ".TS"} {
		if strings.Contains(got, not) {
			t.Errorf("%q is in\n%s", not, got)
		}
	}
}
