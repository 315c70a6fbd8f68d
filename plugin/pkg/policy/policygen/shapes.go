package policygen

import (
	"fmt"
	"strings"
)

// Shape is a policy that grows in one way, made to take more work than its size is worth.
type Shape struct {
	Name string
	Text func(octets int) string // a policy of about that size
}

// Shapes are the ways in which a policy has been seen, or could be feared, to cost more than its size.
var Shapes = []Shape{
	{"issuers that nobody uses, and names with sets of their own", func(octets int) string {
		return repeat("version: 1\nissuers:\n", "  ca%d: {domain: ca%d.example, unlisted: true}\n", octets*2/3) +
			repeat("zones:\n  corp.example:\n    issue: none\n    names:\n", "      h%d: {issue: [ca%d]}\n", octets/3)
	}},
	{"issuers that nobody uses, beside sets that are open to nobody", func(octets int) string {
		return repeat("version: 1\nissuers:\n", "  ca%d: {domain: ca%d.example, unlisted: true}\n", octets/2) +
			repeat("zones:\n  corp.example:\n    issue: none\n    names:\n", "      h%d: {report: [\"mailto:m%d@example.org\"]}\n", octets/2)
	}},
	{"issuers whose names are slips", func(octets int) string {
		return repeat("version: 1\nzones: {corp.example: {issue: none}}\nissuers:\n", "  ca%d: {domain: letsencryp%d.org}\n", octets)
	}},
	{"used issuers whose names are slips", func(octets int) string {
		return repeat("version: 1\nissuers:\n", "  ca%d: {domain: digicert%d.con}\n", octets*2/3) + repeat("zones:\n  corp.example:\n    issuewild: none\n    issue:\n", "    - ca%d\n", octets/5)
	}},
	{"grants of issuers that are not declared", func(octets int) string {
		return repeat("version: 1\nissuers:\n", "  ca%d: {domain: letsencrypt.org}\n", octets/2) +
			repeat("zones:\n  corp.example:\n    issue: none\n    names:\n", "      h%d: {issue: [cb%d]}\n", octets/2)
	}},
	{"long words that nearly fit long words", func(octets int) string {
		long := strings.Repeat("abcdefghij", 24)
		return repeat("version: 1\nissuers:\n", "  "+long+"%d: {domain: letsencrypt.org}\n", octets/2) +
			repeat("zones:\n  corp.example:\n    issue:\n", "    - "+long+"x%d\n", octets/2)
	}},
	{"a flat list", func(octets int) string { return "version: 1\nzones: [" + strings.Repeat("a,", octets/2) + "]\n" }},
	{"a flat list in lines", func(octets int) string { return "version: 1\nreport:\n" + strings.Repeat("- a\n", octets/4) }},
	{"a flat mapping without values", func(octets int) string {
		return repeat("version: 1\nzones: {", "a%d,", octets) + "}\n"
	}},
	{"lists in lists", func(octets int) string {
		return "version: 1\nzones: [" + strings.Repeat("[[[[[[[[[[[[a]]]]]]]]]]]],", octets/26) + "]\n"
	}},
	{"a deep list", func(octets int) string { return "version: 1\nzones: " + strings.Repeat("[", octets) }},
	{"a deep list in one line", func(octets int) string { return "version: 1\nzones:\n" + strings.Repeat("- ", octets/2) }},
	{"anchors and aliases", func(octets int) string {
		return repeat("version: 1\nzones:\n", "  a%d.example: &a%d {issue: none}\n", octets/2) + repeat("default:\n", "  k%d: *a%d\n", octets/3)
	}},
	{"laughs", func(octets int) string {
		return "version: 1\na: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nzones: [" + strings.Repeat("*c,", octets/3) + "]\n"
	}},
	{"tags that a directive makes long", func(octets int) string {
		return "%TAG !l! tag:example.org," + strings.Repeat("l", octets/2) + "\n---\nversion: 1\nzones: [" + strings.Repeat("!l!a b,", octets/14) + "]\n"
	}},
	{"unknown keys", func(octets int) string { return repeat("version: 1\nzones: {}\n", "k%d: %d\n", octets) }},
	{"a key many times", func(octets int) string {
		return "zones: {}\n" + strings.Repeat("version: 1\n", octets/11)
	}},
	{"unknown keys under a long name", func(octets int) string {
		long := strings.Repeat("x", octets/2)
		return "version: 1\nissuers: {" + long + ": {" + repeat("", "k%d: %d,", octets/2) + "}}\nzones: {}\n"
	}},
	{"accounts of an issuer", func(octets int) string {
		return repeat("version: 1\nzones: {a.example: {issue: [le]}}\nissuers:\n  le:\n    domain: letsencrypt.org\n    accounts:\n", "    - a:%d\n", octets)
	}},
	{"methods of an issuer", func(octets int) string {
		return repeat("version: 1\nzones: {a.example: {issue: [le]}}\nissuers:\n  le:\n    domain: letsencrypt.org\n    methods:\n", "    - m%d\n", octets)
	}},
	{"accounts times names", func(octets int) string {
		return repeat("version: 1\nissuers:\n  le:\n    domain: letsencrypt.org\n    accounts:\n", "    - a:%d\n", octets/2) +
			repeat("zones:\n  a.example:\n    issue: [le]\n    names:\n", "      h%d: {issue: [le], ttl: 3%03d}\n", octets/2)
	}},
	{"accounts that narrow accounts", func(octets int) string {
		return repeat("version: 1\nissuers:\n  le:\n    domain: letsencrypt.org\n    accounts:\n", "    - a:%d\n", octets/2) +
			repeat("zones:\n  a.example:\n    issue: none\n    names:\n", "      h%d: {issue: [{issuer: le, accounts: [\"a:%d\"]}]}\n", octets/2)
	}},
	{"accounts times methods times certificates", func(octets int) string {
		return repeat("version: 1\nissuers:\n  le:\n    domain: letsencrypt.org\n    accounts:\n", "    - a:%d\n", octets/3) + repeat("    methods:\n", "    - m%d\n", octets/3) +
			"zones: {a.example: {issue: [le]}}\ncertificates:\n" + strings.Repeat("- {issuer: le, names: [a.example]}\n", octets/3/35)
	}},
	{"certificates of accounts, each with a set of its own", func(octets int) string {
		return repeat("version: 1\nissuers:\n  le:\n    domain: letsencrypt.org\n    accounts:\n", "    - a:%d\n", 400) +
			repeat("zones:\n  a.example:\n    issue: [le]\n    names:\n", "      h%d: {report: [\"mailto:m%d@example.org\"]}\n", octets/2) +
			repeat("certificates:\n- issuer: le\n  names:\n", "  - h%d.a.example\n", octets/2)
	}},
	{"certificates times issuers, all locked out", func(octets int) string {
		return repeat("version: 1\nissuers:\n", "  ca%d: {domain: ca%d.example, unlisted: true}\n", octets/2) +
			repeat("zones: {a.example: {issue: none, properties: [{tag: issuewild, value: \";\"}]}, b.example: {issue: any, report: [\"mailto:a@b.example\"]}}\ncertificates:\n", "- {issuer: ca%d, names: [h%d.a.example]}\n", octets/2)
	}},
	{"certificates locked out by a long list", func(octets int) string {
		return repeat("version: 1\nissuers:\n", "  ca%d: {domain: ca%d.example, unlisted: true}\n", octets/3) +
			repeat("  le: {domain: letsencrypt.org}\nzones:\n  a.example:\n    issuewild: [le]\n    issue:\n", "    - ca%d\n", octets/3) +
			repeat("certificates:\n- issuer: le\n  names:\n", "  - h%d.a.example\n", octets/3)
	}},
	{"name servers of a zone", func(octets int) string {
		return repeat("version: 1\nzones:\n  a.example:\n    issue: none\n    nameservers:\n", "    - {name: ns%d.example.net}\n", octets)
	}},
	{"addresses of a name server", func(octets int) string {
		return repeat("version: 1\nzones:\n  a.example:\n    issue: none\n    nameservers:\n    - name: ns.a.example\n      addresses:\n", "      - 2001:db8::%x\n", octets)
	}},
	{"zones that look for their servers in one zone", func(octets int) string {
		return repeat("version: 1\nzones:\n  a.example:\n    issue: none\n    nameservers:\n", "    - {name: ns%d.a.example, addresses: [192.0.2.1]}\n", octets/2) +
			repeat("", "  z%d.example: {issue: none, nameservers: [{name: n%d.a.example}]}\n", octets/2)
	}},
	{"tags that are critical", func(octets int) string {
		return repeat("version: 1\nzones:\n  a.example:\n    issue: none\n    critical:\n", "    - t%d\n", octets/2) +
			repeat("    properties:\n", "    - {tag: t%d, value: x}\n", octets/2)
	}},
	{"critical tags times names", func(octets int) string {
		return repeat("version: 1\ndefault:\n  issue: none\n  critical:\n  - issue\n", "  - t%d\n", octets/2) +
			repeat("zones:\n  a.example:\n    names:\n", "      h%d: {issue: none}\n", octets/2)
	}},
	{"properties times names", func(octets int) string {
		return repeat("version: 1\ndefault:\n  issue: none\n  properties:\n", "  - {tag: t, value: x%d}\n", octets/2) +
			repeat("zones:\n  a.example:\n    names:\n", "      h%d: {issuewild: none}\n", octets/2)
	}},
	{"a long value times names", func(octets int) string {
		return "version: 1\ndefault:\n  issue: none\n  properties: [{tag: t, value: " + strings.Repeat("x", min(octets/2, 60_000)) + "}]\n" +
			repeat("zones:\n  a.example:\n    names:\n", "      h%d: {issuewild: none}\n", octets/2)
	}},
	{"a long report times names", func(octets int) string {
		return "version: 1\nreport: [\"mailto:a@" + strings.Repeat("x", octets/2) + "\"]\n" +
			repeat("zones:\n  a.example:\n    issue: none\n    names:\n", "      h%d: {issuewild: none}\n", octets/2)
	}},
	{"names below names", func(octets int) string {
		var b strings.Builder
		b.WriteString("version: 1\nzones:\n  a.example:\n    issue: none\n    names:\n")
		for i := 0; b.Len() < octets; i++ {
			fmt.Fprintf(&b, "      %sh%d: {issuewild: none}\n", strings.Repeat("a.", i%110), i/110)
		}
		return b.String()
	}},
	{"zones below zones", func(octets int) string {
		var b strings.Builder
		b.WriteString("version: 1\nzones:\n")
		for i := 0; b.Len() < octets; i++ {
			fmt.Fprintf(&b, "  %sh%d: {issue: none}\n", strings.Repeat("a.", i%110), i/110)
		}
		return b.String()
	}},
	{"challenges", func(octets int) string {
		return repeat("version: 1\nzones:\n", "  z%d.example: {issue: none, nameservers: [{name: ns.example.net}], challenge: \"{name}.z%d.example\"}\n", octets)
	}},
	{"a long name in letters beyond ASCII", func(octets int) string {
		var b strings.Builder
		for r := rune(0x4e00); b.Len() < octets; r = 0x4e00 + (r-0x4e00+1)%0x5000 {
			b.WriteRune(r)
		}
		return "version: 1\nzones: {\"" + b.String() + "\": {issue: none}}\n"
	}},
	{"long names in letters beyond ASCII", func(octets int) string {
		var b strings.Builder
		b.WriteString("version: 1\nzones:\n")
		for i := 0; b.Len() < octets; i++ {
			b.WriteString("  ")
			for r := range rune(300) {
				b.WriteRune(0x4e00 + r + rune(i))
			}
			b.WriteString(".example: {issue: none}\n")
		}
		return b.String()
	}},
	{"comments", func(octets int) string { return strings.Repeat("# x\n", octets/4) + "version: 1\nzones: {}\n" }},
	{"comments between entries", func(octets int) string {
		return repeat("version: 1\nzones:\n", "  # c\n\n  z%d.example: {issue: none} # d\n", octets)
	}},
	{"comments after the end of a list", func(octets int) string {
		return "version: 1\nzones:\n  a.example:\n    issue: none\n" + strings.Repeat("# x\n\n", octets/5)
	}},
	{"a long text", func(octets int) string {
		return "version: 1\nzones: {a.example: {issue: " + strings.Repeat("x", octets) + "}}\n"
	}},
	{"a long text in lines", func(octets int) string {
		return "version: 1\nzones: {a.example: {issue: \"" + strings.Repeat("x\n\n", octets/3) + "\"}}\n"
	}},
	{"a long block text", func(octets int) string { return "version: 1\nreport: |\n" + strings.Repeat("  x\n", octets/4) }},
	{"long keys", func(octets int) string { return "version: 1\n? " + strings.Repeat("k", octets) + "\n: 1\nzones: {}\n" }},
	{"empty lines", func(octets int) string { return strings.Repeat("\r\n", octets/2) + "version: 1\nzones: {}\n" }},
	{"documents", func(octets int) string { return strings.Repeat("---\na\n", octets/6) }},
	{"tabs", func(octets int) string { return "version: 1\nzones:\n" + strings.Repeat("\t", octets) + "x: 1\n" }},
	{"brackets that do not close", func(octets int) string {
		return "version: 1\nzones: " + strings.Repeat("{a: [", min(octets/5, 4000)) + strings.Repeat("a, ", octets/3)
	}},
	{"keys that end nowhere", func(octets int) string { return "version: 1\nzones: {" + strings.Repeat("\"a\"\n", octets/4) + "}\n" }},
	{"issue values with many parameters", func(octets int) string {
		return "version: 1\nzones: {a.example: {issue: none, properties: [{tag: issue, value: \"ca.example" + strings.Repeat("; accounturi=a:1", min(octets, 60_000)/16) + "\"}]}}\n"
	}},
	{"a usual policy", func(octets int) string {
		return repeat("version: 1\nreport: [\"mailto:a@example.org\"]\nissuers: {le: {domain: letsencrypt.org, methods: [dns-01]}}\ndefault: {issue: [le], issuewild: none}\nzones:\n  a.example:\n    names:\n",
			"      h%d: {issue: [le], issuewild: [le], ttl: 3%03d}\n", octets)
	}},
}

// repeat writes numbered lines after a beginning until there are enough octets. The line's verbs all get
// its number, or that within a thousand where they ask for three digits.
func repeat(begin, line string, octets int) string {
	var b strings.Builder
	b.WriteString(begin)
	verbs := strings.Count(line, "%")
	for i := 0; i == 0 || b.Len() < octets; i++ {
		args := make([]any, verbs)
		for at := range args {
			args[at] = i
		}
		if strings.Contains(line, "%03d") {
			args[verbs-1] = i % 1000
		}
		fmt.Fprintf(&b, line, args...)
	}
	return b.String()
}
