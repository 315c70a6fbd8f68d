// Package citations holds every section of the Baseline Requirements that this repository cites against a table of the
// sections of the version in force.
package citations

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sections are those of version 2.3.0, in force since 2026-09-07, from which the repository cites, each with what it is
// about. Sections 3.2.2.8 and 3.2.2.8.1 only refer to 4.2.2.1 and 4.2.2.2 there: nothing cites them.
var sections = map[string]string{
	"3.2.2":      "Authentication of Organization and Domain Identity",
	"3.2.2.1":    "Identity",
	"3.2.2.2":    "DBA/Tradename",
	"3.2.2.3":    "Verification of Country",
	"3.2.2.4":    "Validation of Domain Authorization or Control",
	"3.2.2.4.1":  "Validating the Applicant as a Domain Contact",
	"3.2.2.4.2":  "Email, Fax, SMS, or Postal Mail to Domain Contact",
	"3.2.2.4.3":  "Phone Contact with Domain Contact",
	"3.2.2.4.4":  "Email to a Constructed Address",
	"3.2.2.4.5":  "Domain Authorization Document",
	"3.2.2.4.6":  "Agreed-Upon Change to Website",
	"3.2.2.4.7":  "DNS Change",
	"3.2.2.4.8":  "IP Address",
	"3.2.2.4.9":  "Test Certificate",
	"3.2.2.4.10": "TLS Using a Random Value",
	"3.2.2.4.11": "Any Other Method",
	"3.2.2.4.12": "Validating Applicant as a Domain Contact",
	"3.2.2.4.13": "Email to DNS CAA Contact",
	"3.2.2.4.14": "Email to DNS TXT Contact",
	"3.2.2.4.15": "Phone Contact with Domain Contact",
	"3.2.2.4.16": "Phone Contact with DNS TXT Record Phone Contact",
	"3.2.2.4.17": "Phone Contact with DNS CAA Phone Contact",
	"3.2.2.4.18": "Agreed-Upon Change to Website v2",
	"3.2.2.4.19": "Agreed-Upon Change to Website - ACME",
	"3.2.2.4.20": "TLS Using ALPN",
	"3.2.2.4.21": "DNS Labeled with Account ID - ACME",
	"3.2.2.4.22": "DNS TXT Record with Persistent Value",
	"3.2.2.5":    "Authentication for an IP Address",
	"3.2.2.5.1":  "Agreed-Upon Change to Website",
	"3.2.2.5.2":  "Email, Fax, SMS, or Postal Mail to IP Address Contact",
	"3.2.2.5.3":  "Reverse Address Lookup",
	"3.2.2.5.4":  "Any Other Method",
	"3.2.2.5.5":  "Phone Contact with IP Address Contact",
	"3.2.2.5.6":  "ACME \"http-01\" method for IP Addresses",
	"3.2.2.5.7":  "ACME \"tls-alpn-01\" method for IP Addresses",
	"3.2.2.5.8":  "DNS TXT Record with Persistent Value in the Reverse Namespace",
	"3.2.2.6":    "Wildcard Domain Validation",
	"3.2.2.7":    "Data Source Accuracy",
	"3.2.2.9":    "Multi-Perspective Issuance Corroboration",
	"4.2.1":      "Performing identification and authentication functions",
	"4.2.2":      "Approval or rejection of certificate applications",
	"4.2.2.1":    "CAA Records",
	"4.2.2.1.1":  "CAA Multi-Perspective Issuance Corroboration",
	"4.2.2.1.2":  "CAA parameters (RFC 8657)",
	"4.2.2.2":    "DNSSEC",
	"4.2.2.2.1":  "Resolvers",
	"4.2.2.2.2":  "Scope",
	"4.2.2.2.3":  "E-mail",
	"4.2.2.2.4":  "Local policy",
	"4.2.2.2.5":  "Validation errors",
	"4.2.2.2.6":  "Remote Network Perspectives",
	"4.9.1.1":    "Reasons for Revoking a Subscriber Certificate",
	"6.3.2":      "Certificate operational periods and key pair usage periods",
	"7.1.2.7.12": "Subscriber Certificate Subject Alternative Name",
	"A":          "Appendix A, CAA Contact Tag",
	"A.1":        "CAA Methods",
	"A.1.1":      "CAA contactemail Property",
	"A.1.2":      "CAA contactphone Property",
	"A.2":        "DNS TXT Methods",
	"A.2.1":      "DNS TXT Record Email Contact",
	"A.2.2":      "DNS TXT Record Phone Contact",
}

// version is the document's own number.
const version = "2.3.0"

// cited are the files that are read, by their extensions.
var cited = []string{".go", ".md", ".json", ".yaml", ".txt", ".txtar", ".html"}

var (
	// wrapped is the end of a line within a paragraph or a comment.
	wrapped  = regexp.MustCompile(`[ \t]*\n[ \t]*(?://[ \t]?)?`)
	document = regexp.MustCompile(`\b(?:BR|Baseline Requirements'?)\b`)
	between  = regexp.MustCompile(`^(?:[ ,(]|and |to |sections? |Appendix )+`)
	section  = regexp.MustCompile(`^(?:A|[0-9]+)(?:\.[0-9]+)*`)
	within   = regexp.MustCompile(`^[-%0-9A-Za-z]`) // of a date or a word, not after a section
	// bare are numbers that can be sections of this document alone, wherever they are.
	bare = regexp.MustCompile(`(RFC [0-9]+ |^|[^0-9A-Za-z.-])((?:3\.2\.2|4\.2\.2|4\.9\.1|7\.1\.2)\.[0-9.]*[0-9])`)
)

// citations returns the sections of the Baseline Requirements in a text: those after the document's name, and bare ones.
func citations(text string) []string {
	text = wrapped.ReplaceAllString(text, " ")
	var out []string
	for _, at := range document.FindAllStringIndex(text, -1) {
		for rest := text[at[1]:]; ; {
			rest = rest[len(between.FindString(rest)):]
			number := section.FindString(rest)
			rest = rest[len(number):]
			if number == "" || within.MatchString(rest) {
				break
			}
			out = append(out, number)
		}
	}
	for _, m := range bare.FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[1], "RFC") {
			out = append(out, m[2])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestCitationsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"permits (BR 4.2.2.1).":                                  "4.2.2.1",
		"BR 3.2.2.4.13 and A.1.1, RFC 5321 5.1":                  "3.2.2.4.13 A.1.1",
		"BR 3.2.2.4.8, 18 to 20":                                 "18 20 3.2.2.4.8",
		"// of the Baseline Requirements\n// 3.2.2.9: of a date": "3.2.2.9",
		"(BR\n\t// 3.2.2.9)":                                     "3.2.2.9",
		"the Baseline Requirements, Appendix A)":                 "A",
		"the Baseline Requirements want one retry (3.2.2.8)":     "3.2.2.8",
		"BR 4.2.2.1.2, 2027-03-15":                               "4.2.2.1.2",
		"by the Baseline Requirements of that day; A CA":         "",
		"RFC 1034 3.2.2.8":                                       "",
	} {
		if got := strings.Join(citations(text), " "); got != want {
			t.Errorf("%q cites %s, want %s", text, got, want)
		}
	}
}

// Every section that a file of the repository cites is one of the version in force.
func TestSections(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case d.IsDir() || !slices.Contains(cited, filepath.Ext(path)) || filepath.Base(path) == "citations_test.go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, number := range citations(string(text)) {
			if sections[number] == "" && number != version {
				t.Errorf("%s cites section %s of the Baseline Requirements, which %s does not have", path, number, version)
			}
		}
		return nil
	})
	if err != nil || files < 300 {
		t.Errorf("%d files, %v", files, err)
	}
}
