package policy

import "strings"

// head begins the cases whose text begins with "zone:"; what follows is the body of example.org, from
// line 6.
const head = `version: 1
issuers: {le: {domain: letsencrypt.org, accounts: ["a:1", "a:2"], methods: [dns-01, http-01]}}
default: {issue: [le]}
zones:
  example.org:
`

// policyOnly is the body of a zone that needs no next plugin; another key follows in line 7.
const policyOnly = "zone:    nameservers: [{name: ns.example.net}]\n"

func whole(text string) string {
	if body, ok := strings.CutPrefix(text, "zone:"); ok {
		return head + body
	}
	return text
}

// notJSON says of a case that no schema sees it.
const notJSON = "YAML, before any schema"

// An invalid case is a policy with everything that is reported of it: one line of want for each error, each from
// its line and column on. beyond says why the schema cannot refuse it; "" where it does.
type invalid struct{ name, text, want, beyond string }

var invalids = []invalid{
	// What is no YAML of ours.
	{"empty file", "", "1:1: the file is empty; it begins with version: 1", notJSON},
	{"only a comment", "# nothing\n", "1:1: the file is empty", notJSON},
	{"NUL octet", "version: 1\nx\x00y", "2:2: a NUL octet", notJSON},
	{"UTF-16", "\xff\xfev\x00e\x00", "1:4: a NUL octet", notJSON},
	{"not UTF-8", "version: 1\nreport: [\xff]", "2:10: not UTF-8", notJSON},
	{"Latin-1", "version: 1\n# B\xfccher\n", "2:4: not UTF-8", notJSON},
	{"control character", "version: 1\nx: \"\x01\"\n", "2:5: a control character, U+0001", notJSON},
	{"tab indents", "version: 1\nzones:\n\texample.org: {}\n", "3:1: this line is indented with a tab", notJSON},
	{"tab after spaces", "version: 1\nzones:\n  a.example:\n   \tissue: none\n", "4:4: this line is indented with a tab", notJSON},
	{"no YAML", "version: 1: 1\n", "1:1: not YAML: mapping values are not allowed in this context", notJSON},
	{"an open bracket", "version: [1\n", "1:10: this [ is closed nowhere; write the closing bracket", notJSON},
	{"two documents", "version: 1\nzones: {}\n---\nversion: 1\n", "3:1: the file has more than one YAML document", notJSON},
	{"anchor", "version: &a 1\nzones: {}\n", "1:10: an anchor (&a)", notJSON},
	{"alias", "version: &a 1\nttl: *a\nzones: {}\n", "1:10: an anchor (&a)\n2:6: an alias (*a)", notJSON},
	{"bomb", "version: 1\ndefault: {issue: any, report: &a [x,x]}\nzones: &b [*a,*a]\ncertificates: [*b,*b]\n",
		"2:31: an anchor\n2:35: report takes\n2:37: report takes\n3:8: an anchor\n3:12: an alias\n3:15: an alias\n4:16: an alias\n4:19: an alias", notJSON},
	{"recursive alias", "version: 1\nzones: &a {example.org: *a}\n", "2:8: an anchor (&a)\n2:25: an alias (*a)", notJSON},
	{"merge key", "version: 1\ndefault: {issue: none}\nzones: {a.example: {<<: {issue: none}}}\n", `3:21: unknown key "<<" in the zone a.example`, ""},
	{"tag", "version: !!int 1\nzones: {}\n", "1:10: a YAML tag (!!int)", notJSON},
	{"private tag", "version: 1\nzones: !x {}\n", "2:8: a YAML tag (!x)", notJSON},
	{"duplicate key", "version: 1\nversion: 1\nzones: {}\n", `2:1: duplicate key "version"; the first is on line 1`, notJSON},
	{"duplicate key deep down", "zone:    names: {www: {issue: none, issue: none}}\n", `6:32: duplicate key "issue"; the first is on line 6`, notJSON},
	{"nested too deep", "version: 1\nzones: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "2:8: zones must be a mapping, not a list\n2:24: nested more than 16 deep", notJSON},

	// The file.
	{"a list", "- 1\n", "1:1: the policy must be a mapping", ""},
	{"a text", "hello\n", `1:1: the policy must be a mapping of keys to values, not "hello"`, ""},
	{"unknown version", "version: 2\nzones: {}\n", `1:10: version "2" is unknown; write version: 1`, ""},
	{"version of another kind", "version: [1]\nzones: {}\n", "1:10: version a list is unknown", ""},
	{"version as a text", "version: \"1\"\nzones: {}\n", `1:10: version must be a number, not the text "1"`, ""},
	{"version as a fraction", "version: 1.0\nzones: {}\n", `1:10: version "1.0" is unknown`, "JSON knows one kind of number"},
	{"no version", "zones: {}\n", "1:1: the version is missing", ""},
	{"nothing at all", "version: 1\n", "1:1: the policy has neither zones nor default", ""},
	{"unknown key names the nearest", "version: 1\nzonse: {}\nzones: {}\n", `2:1: unknown key "zonse" in the policy; did you mean "zones"?`, ""},
	{"unknown key unlike any", "version: 1\nqqqqqqqqqq: {}\nzones: {}\n", `2:1: unknown key "qqqqqqqqqq" in the policy; known here: certificates, default, issuers, removed, report, ttl, version, zones`, ""},
	{"unknown key in another case", "version: 1\nZones: {}\nzones: {}\n", `2:1: unknown key "Zones" in the policy; did you mean "zones"?`, ""},
	{"key that is a list", "version: 1\n? [a]\n: 1\nzones: {}\n", "2:3: unknown key a list in the policy", notJSON},
	{"section of another kind", "version: 1\nissuers: []\nzones: {}\ncertificates: {}\n", "2:10: issuers must be a mapping, not a list\n4:15: certificates must be a list, not a mapping; write [...]", ""},
	{"section left empty", "version: 1\nzones:\n", "2:7: zones must be a mapping, not nothing", ""},
	{"ttl of the file", "version: 1\nttl: 1w\nzones: {}\n", "2:6: ttl must be a duration", ""},
	{"report of the file", "version: 1\nreport: mailto:a@example.org\nzones: {}\n", "2:9: report must be a list", ""},

	// issuers.
	{"issuer without domain", "version: 1\nissuers:\n  le: {}\ndefault: {issue: [le]}\n", "3:3: the issuer le has no domain", ""},
	{"issuer as a text", "version: 1\nissuers: {le: letsencrypt.org}\ndefault: {issue: [le]}\n", `2:15: the issuer le must be a mapping of keys to values, not "letsencrypt.org"`, ""},
	{"issuer called any", "version: 1\nissuers: {any: {domain: a.b}}\ndefault: {issue: any, issuewild: none}\n", "2:11: an issuer cannot have the key any, which has its own meaning in issue; write another key", ""},
	{"issuer without a name", "version: 1\nissuers: {\"\": {domain: a.b}}\ndefault: {issue: none}\n", `2:11: a key of issuers must be a name, not ""`, ""},
	{"issuer of nothing", "version: 1\nissuers: {~: {domain: a.b}}\ndefault: {issue: none}\n", `2:11: a key of issuers must be a name, not nothing`, notJSON},
	{"no Issuer Domain Name", "version: 1\nissuers: {le: {domain: 'ca example'}}\ndefault: {issue: [le]}\n", `2:24: "ca example" cannot be an Issuer Domain Name (RFC 8659 4.2)`, ""},
	{"a dot is no Issuer Domain Name", "version: 1\nissuers: {le: {domain: .}}\ndefault: {issue: [le]}\n", `2:24: "." cannot be an Issuer Domain Name`, ""},
	{"domain that is a number", "version: 1\nissuers: {le: {domain: 1.2}}\ndefault: {issue: [le]}\n", "2:24: domain must be a text; write 1.2 in quotes", ""},
	{"unlisted of another kind", "version: 1\nissuers: {le: {domain: a.b, unlisted: yes}}\ndefault: {issue: [le]}\n", `2:39: unlisted must be true or false, not "yes"`, ""},
	{"account that is no URI", "version: 1\nissuers: {le: {domain: a.b, accounts: [1234567]}}\ndefault: {issue: [le]}\n", "2:40: an entry of accounts must be a text; write 1234567 in quotes", ""},
	{"account with a semicolon", "version: 1\nissuers: {le: {domain: a.b, accounts: [\"a:1\", \"a:2;x\"]}}\ndefault: {issue: [le]}\n", `2:47: "a:2;x" is not the URI of an account (RFC 8657 3); copy the one that the ACME client shows`, ""},
	{"account twice", "version: 1\nissuers: {le: {domain: a.b, accounts: [\"a:1\", \"a:1\"]}}\ndefault: {issue: [le]}\n", `2:47: "a:1" is listed twice in accounts`, ""},
	{"accounts empty", "version: 1\nissuers: {le: {domain: a.b, accounts: []}}\ndefault: {issue: [le]}\n", "2:39: accounts is an empty list", ""},
	{"method in capitals", "version: 1\nissuers: {le: {domain: a.b, methods: [DNS-01]}}\ndefault: {issue: [le]}\n", `2:39: "DNS-01" is not the label of a validation method (RFC 8657 4); write lower-case letters, digits and hyphens, such as dns-01`, ""},
	{"methods as a text", "version: 1\nissuers: {le: {domain: a.b, methods: dns-01}}\ndefault: {issue: [le]}\n", `2:38: methods must be a list, not "dns-01"`, ""},
	{"unknown key of an issuer", "version: 1\nissuers: {le: {domain: a.b, method: [dns-01]}}\ndefault: {issue: [le]}\n", `2:29: unknown key "method" in the issuer le; did you mean "methods"?`, ""},
	{"issuer able to issue nowhere", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issue: none}\n", "2:11: the issuer le is declared but may issue nowhere", "cross reference"},

	// issue and its like.
	{"undeclared issuer names the nearest", "zone:    issue: [lee]\n", `6:13: the issuer "lee" is not declared under issuers; did you mean "le"?`, "cross reference"},
	{"undeclared issuer in default", "version: 1\ndefault:\n  issue: [le]\n", `3:11: the issuer "le" is not declared under issuers`, "cross reference"},
	{"an issuer for a list", "zone:    issue: le\n", "6:12: issue must be none, any, or a list of issuers; write [le]", ""},
	{"another text for a list", "zone:    issue: all\n", `6:12: issue must be none, any, or a list of issuers such as [letsencrypt], not "all"`, ""},
	{"nothing for a list", "zone:    issue:\n", "6:11: issue must be none, any, or a list of issuers such as [letsencrypt], not nothing", ""},
	{"a mapping for a list", "zone:    issue: {issuer: le}\n", "6:12: issue must be none, any, or a list of issuers such as [letsencrypt], not a mapping", ""},
	{"empty list", "zone:    issue: []\n", "6:12: issue is an empty list; write none if nobody may issue, any if anyone may", ""},
	{"empty list of wildcards", "zone:    issuewild: []\n", "6:16: issuewild is an empty list; write none if nobody may issue", ""},
	{"none within a list", "zone:    issue: [le, none]\n", "6:17: none is not an issuer in a list", ""},
	{"issuewild any", "zone:    issuewild: any\n", "6:16: CAA cannot express issuewild: any", ""},
	{"narrowed without an issuer", "zone:    issue: [{methods: [dns-01]}]\n", "6:13: an entry of issue has no issuer; write {issuer: KEY}", ""},
	{"narrowed: unknown key", "zone:    issue: [{issuer: le, account: ['a:1']}]\n", `6:26: unknown key "account" in an entry of issue; did you mean "accounts"?`, ""},
	{"a node may only narrow: account", "zone:    issue: [{issuer: le, accounts: ['a:1', 'a:3']}]\n", "6:44: the issuer does not declare the account a:3; add it under issuers first; did you mean \"a:1\"?", "cross reference"},
	{"a node may only narrow: method", "zone:    issue:\n    - issuer: le\n      methods: [dns-02]\n", `8:17: the issuer does not declare the method dns-02; add it under issuers first; did you mean "dns-01"?`, "cross reference"},

	// Nothing is open by accident.
	{"open: no issue anywhere", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issuewild: [le]}\n", "4:3: example.org has no issue, neither its own nor from default, so any CA could issue; write issue: [ISSUER], issue: none, or issue: any if you mean that", "inheritance"},
	{"open: no issue anywhere", "version: 1\nzones:\n  example.org: {}\n", "3:3: example.org has no issue", "inheritance"},
	{"open: default without issue", "version: 1\ndefault: {issuewild: none}\n", "2:1: default has no issue", "inheritance"},
	{"open: a zone does not inherit from another", "version: 1\nzones:\n  example.org: {issue: none}\n  sub.example.org: {issuewild: none}\n", "4:3: sub.example.org has no issue", "inheritance"},
	{"issue any with nothing else", "zone:    issue: any\n", "6:5: issue: any alone makes no RRset, and a CA would climb on to the parent (RFC 8659 3); add report to example.org", "inheritance"},
	{"issue any of default, its report taken back", "version: 1\ndefault: {issue: any, report: [\"mailto:a@example.org\"]}\nzones:\n  example.org: {report: []}\n", "4:3: issue: any alone makes no RRset, and a CA would climb on to the parent (RFC 8659 3); add report to example.org", "inheritance"},
	{"issue any at a name", "version: 1\nzones:\n  example.org:\n    issue: none\n    names:\n      www: {issue: any}\n", "6:13: issue: any alone makes no RRset, and a CA would climb on to the parent (RFC 8659 3); add report to www.example.org", "inheritance"},

	// Zones and names.
	{"zone twice: case and last dot", "version: 1\nzones:\n  example.org: {issue: none}\n  EXAMPLE.org.: {issue: none}\n", "4:3: the zone example.org is listed twice, first in line 3; remove one", "names compare as DNS does"},
	{"zone twice: A-label and U-label", "version: 1\nzones:\n  bücher.example: {issue: none}\n  xn--bcher-kva.example: {issue: none}\n", "4:3: the zone xn--bcher-kva.example is listed twice, first in line 3; remove one", "names compare as DNS does"},
	{"zone twice: normal forms of Unicode", "version: 1\nzones:\n  bücher.example: {issue: none}\n  BU\u0308CHER。example: {issue: none}\n", "4:3: the zone xn--bcher-kva.example is listed twice, first in line 3; remove one", "names compare as DNS does"},
	{"name twice: case", "zone:    names: {www: {issue: none}, WWW: {issue: none}}\n", "6:33: the name WWW is listed twice, first in line 6; remove one", "names compare as DNS does"},
	{"name twice: IDN and last dot", "zone:    names:\n      bücher: {issue: none}\n      xn--bcher-kva.: {issue: none}\n", "8:7: the name xn--bcher-kva. is listed twice, first in line 7; remove one", "names compare as DNS does"},
	{"zone left empty", "version: 1\nzones:\n  example.org:\n", "3:15: the zone example.org must be a mapping of keys to values, not nothing; write {} for an empty one", ""},
	{"name left empty", "zone:    names:\n      www:\n", "7:11: the name www must be a mapping of keys to values, not nothing", ""},
	{"unknown key of a zone names the nearest", "zone:    isue: [le]\n", `6:5: unknown key "isue" in the zone example.org; did you mean "issue"?`, ""},
	{"unknown key of a name", "zone:    names:\n      www: {nameservers: []}\n", `7:13: unknown key "nameservers" in the name www`, ""},
	{"names within default", "version: 1\ndefault: {issue: none, names: {}}\n", `2:24: unknown key "names" in default`, ""},
	{"label of 64 octets", "zone:    names: {" + strings.Repeat("a", 64) + ": {}}\n", "6:13: the name \"" + strings.Repeat("a", 64) + "\" is not a domain name: labels have 1 to 63 octets", ""},
	{"label of 256 octets", "version: 1\nzones: {" + strings.Repeat("a", 256) + ".example: {issue: none}}\n", "2:9: the zone \"aaa", ""},
	{"label of 64 octets once it is an A-label", "zone:    names: {" + strings.Repeat("ü", 60) + ": {}}\n", "6:13: the name", "the length of an A-label"},
	{"name of 256 octets", "zone:    names: {" + strings.Repeat("a.", 125) + "a: {}}\n", "6:13: the name " + strings.Repeat("a.", 38) + "a... is too long in the zone example.org", "a length of two names"},
	{"empty label", "version: 1\nzones: {example..org: {issue: none}}\n", `2:9: the zone "example..org" is not a domain name`, ""},
	{"leading dot", "version: 1\nzones: {.example.org: {issue: none}}\n", `2:9: the zone ".example.org" is not a domain name`, ""},
	{"space in a name", "version: 1\nzones: {example org: {issue: none}}\n", `2:9: the zone "example org" is not a domain name: labels have letters, digits, hyphens and underscores only`, ""},
	{"escape in a name", "version: 1\nzones: {'a\\.b.example': {issue: none}}\n", `2:9: the zone "a\\.b.example" is not a domain name`, ""},
	{"URL for a name", "version: 1\nzones: {'https://example.org': {issue: none}}\n", `2:9: the zone "https://example.org" is not a domain name`, ""},
	{"no IDN", "version: 1\nzones: {a\u200d.example: {issue: none}}\n", "2:9: the zone \"a\\u200d.example\" is not an internationalised domain name", "IDNA"},
	{"zone that is a wildcard", "version: 1\nzones: {\"*.example.org\": {issue: none}}\n", `2:9: the zone "*.example.org" is not a domain name`, ""},
	{"node named *", "zone:    names: {\"*\": {issue: none}}\n", "6:13: no CA asks for CAA at *: for a wildcard it asks at the name without the `*.` (RFC 8659 3); write issuewild at the zone itself", ""},
	{"node named * below a name", "zone:    names: {\"*.dev\": {issue: none}}\n", "6:13: no CA asks for CAA at *.dev: for a wildcard it asks at the name without the `*.` (RFC 8659 3); write issuewild at \"dev\"", ""},
	{"node named @", "zone:    names: {\"@\": {issue: none}}\n", "6:13: @ is the zone itself", ""},
	{"node named .", "zone:    names: {.: {issue: none}}\n", "6:13: . is the zone itself", ""},
	{"absolute name", "zone:    names: {www.example.org: {issue: none}}\n", `6:13: names are relative to their zone, and www.example.org would be www.example.org.example.org; write "www"`, "names compare as DNS does"},
	{"the zone's own name", "zone:    names: {Example.org.: {issue: none}}\n", "6:13: names are relative to their zone, and Example.org. is the zone itself", "names compare as DNS does"},
	{"name in another zone of the file", "zone:    names: {www.sub: {issue: none}}\n  sub.example.org: {}\n", "6:13: www.sub.example.org is in the zone sub.example.org, which the file lists in line 7; move the name there", "cross reference"},

	// Policy-only zones.
	{"no name server", policyOnly[:len("zone:")] + "    nameservers: []\n", "6:18: nameservers is an empty list; leave it out if the next plugin has the zone", ""},
	{"name server without a name", "zone:    nameservers: [{addresses: [192.0.2.1]}]\n", "6:19: a name server has no name; write {name: NAME}", ""},
	{"name server as a text", "zone:    nameservers: [ns.example.net]\n", `6:19: a name server must be a mapping of keys to values, not "ns.example.net"`, ""},
	{"name server twice", "zone:    nameservers: [{name: ns.example.net}, {name: NS.example.net.}]\n", "6:43: the name server ns.example.net is listed twice", "names compare as DNS does"},
	{"unknown key of a name server", "zone:    nameservers: [{name: ns.example.net, address: 192.0.2.1}]\n", `6:42: unknown key "address" in a name server; did you mean "addresses"?`, ""},
	{"address missing", "zone:    nameservers: [{name: ns.example.org}]\n", "6:19: ns.example.org is in the zone, and no other server has its addresses; add addresses", "names compare as DNS does"},
	{"address outside", "zone:    nameservers: [{name: ns.example.net, addresses: [192.0.2.1]}]\n", "6:19: ns.example.net is not in the zone, so the zone cannot answer its addresses; remove them", "names compare as DNS does"},
	{"bad address", "zone:    nameservers:\n    - name: ns.example.org\n      addresses: [192.0.2.1, 192.0.2]\n", `8:30: "192.0.2" is not an IP address`, ""},
	{"address that is a number", "zone:    nameservers: [{name: ns.example.org, addresses: [192.0]}]\n", `6:54: "192.0" is not an IP address`, ""},
	{"mapped address", "zone:    nameservers: [{name: ns.example.org, addresses: ['::ffff:192.0.2.1']}]\n", `6:54: "::ffff:192.0.2.1" is not an IP address`, "which addresses are usable"},
	{"address twice", "zone:    nameservers: [{name: ns.example.org, addresses: ['2001:db8::1', '2001:DB8::1']}]\n", "6:69: 2001:db8::1 is listed twice in addresses", "addresses compare by value"},
	{"name server at a challenge", "zone:    nameservers: [{name: _acme-challenge.www.example.org, addresses: [192.0.2.1]}]\n", "6:19: a name server cannot have the name _acme-challenge.www.example.org, which challenges use; write another name", "which names challenges use"},
	{"name server without address in a zone above", policyOnly + "  sub.example.org: {nameservers: [{name: ns1.example.org}]}\n",
		"7:35: ns1.example.org is in the zone example.org, which this policy alone defines and which has no address of it; list it there with addresses, or use a server in another zone", "cross reference"},
	{"name server without address in a zone below", "zone:    nameservers: [{name: ns.sub.example.org, addresses: [192.0.2.1]}]\n  sub.example.org: {nameservers: [{name: ns.example.net}]}\n",
		"6:19: ns.sub.example.org is in the zone sub.example.org, which this policy alone defines and which has no address of it; list it there with addresses, or use a server in another zone", "cross reference"},
	{"challenge in an overlay", "zone:    challenge: \"{name}.acme.example.net\"\n", "6:5: challenge needs a zone with nameservers, and in example.org the next plugin has the names; write nameservers, or remove challenge", "zones of two kinds"},
	{"challenge at a name of an overlay", "zone:    names:\n      www:\n        challenge: \"{name}.acme.example.net\"\n", "8:9: challenge needs a zone with nameservers", "zones of two kinds"},
	{"challenge into its own zone", policyOnly + "    challenge: \"{name}.x.example.org\"\n", "7:5: challenge points into example.org, which this policy alone defines and which has no TXT record; point it into a zone that the ACME client may write to", "cross reference"},
	{"challenge with other braces", policyOnly + "    challenge: \"{host}.example.net\"\n", "7:16: challenge has no other braces than {name}, which is replaced by the name to be validated; \"{host}.example.net\" has others", ""},
	{"challenge that is no name", policyOnly + "    challenge: \"{name} example.net\"\n", `7:16: challenge "0name0 example.net" is not a domain name`, ""},
	{"challenge with a label of two kinds", policyOnly + "    challenge: \"ü{name}.example.net\"\n", "7:16: challenge: {name} cannot share a label", "IDNA"},
	{"node at a challenge's alias", policyOnly + "    challenge: \"{name}.x.example.net\"\n    names: {_acme-challenge.www: {issue: none}}\n", "8:13: _acme-challenge.www.example.org is an alias by challenge, so it can never answer CAA (RFC 1034 3.6.2)", "cross reference"},

	// What else a node says.
	{"ttl too short", "zone:    ttl: 0s\n", `6:10: ttl must be a duration from 1s to 24h such as 1h or 1h30m, or its seconds, not "0s"`, "bounds of durations"},
	{"ttl too long", "zone:    ttl: 25h\n", "6:10: ttl must be a duration", "bounds of durations"},
	{"ttl in seconds too short", "zone:    ttl: 0\n", "6:10: ttl must be a duration", ""},
	{"ttl beyond all numbers", "zone:    ttl: 99999999999999999999h\n", "6:10: ttl must be a duration", "bounds of durations"},
	{"ttl beyond all numbers of seconds", "zone:    ttl: 9223372036854775807\n", "6:10: ttl must be a duration", ""},
	{"ttl of a fraction", "zone:    ttl: 90.5s\n", "6:10: ttl must be a duration", ""},
	{"ttl of a fraction of nothing", "zone:    ttl: 3600.0\n", "6:10: ttl must be a duration", "JSON knows one kind of number"},
	{"ttl of nothing", "zone:    ttl: \"\"\n", "6:10: ttl must be a duration", ""},
	{"ttl as a list", "zone:    ttl: [1h]\n", "6:10: ttl must be a duration from 1s to 24h such as 1h or 1h30m, or its seconds, not a list", ""},
	{"report: a mail address alone", "zone:    report: [pki@example.org]\n", `6:14: report takes mailto:, https: or http: URLs (RFC 8659 4.4), not "pki@example.org"`, ""},
	{"report: no address", "zone:    report: [\"mailto:\"]\n", "6:14: report takes", ""},
	{"report: no host", "zone:    report: [\"https:///x\"]\n", "6:14: report takes", ""},
	{"report: beyond ASCII", "zone:    report: [\"https://bücher.example/\"]\n", "6:14: report takes", ""},
	{"contact: no mail address", "zone:    contact: {email: pki}\n", `6:22: email must be a mail address (BR Appendix A.1.1), not "pki"`, ""},
	{"contact: local number", "zone:    contact: {phone: 555-0100}\n", `6:22: phone must be a global number`, ""},
	{"contact: unquoted number", "zone:    contact: {phone: +15550100}\n", "6:22: phone must be a text; write +15550100 in quotes", ""},
	{"contact: unknown key", "zone:    contact: {mail: a@example.org}\n", `6:15: unknown key "mail" in contact; did you mean "email"?`, ""},
	{"property without a tag", "zone:    properties: [{value: x}]\n", "6:18: a property has no tag; write tag: TAG", ""},
	{"property without a value", "zone:    properties: [{tag: x}]\n", "6:18: a property has no value; write value: \"\" for an empty one", ""},
	{"property: flags too large", "zone:    properties: [{flags: 256, tag: x, value: x}]\n", `6:26: flags must be a number from 0 to 255, not "256"`, ""},
	{"property: no tag", "zone:    properties: [{tag: a-b, value: x}]\n", `6:24: a tag must be 1 to 255 letters and digits (RFC 8659 4.1), not "a-b"`, ""},
	{"property: value beyond ASCII", "zone:    properties: [{tag: x, value: ü}]\n", "6:34: value must be a text of at most 65278 octets of printable ASCII; quote it where it looks like a number", ""},
	{"property: value that is a number", "zone:    properties: [{tag: x, value: 1}]\n", "6:34: value must be a text of at most 65278 octets of printable ASCII; quote it where it looks like a number", ""},
	{"property: value too long", "zone:    properties: [{tag: x, value: " + strings.Repeat("x", maxValue+1) + "}]\n", "6:34: value must be a text of at most 65278 octets of printable ASCII; quote it where it looks like a number", ""},
	{"property: unknown key", "zone:    properties: [{flag: 0, tag: x, value: x}]\n", `6:19: unknown key "flag" in an entry of properties; did you mean "flags"?`, ""},
	{"critical: a tag that nothing has", "zone:    critical: [issuwild]\n", `6:16: critical lists issuwild, and no property here has that tag; did you mean "issuewild"?`, "cross reference"},
	{"critical: twice", "zone:    critical: [issue, issue]\n", `6:23: "issue" is listed twice in critical`, ""},
	{"critical: as a truth", "zone:    critical: true\n", `6:15: critical must be a list, not "true"`, ""},

	// certificates.
	{"BR 7.1.2.7.12: an underscore in a certificate's name", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issue: [le]}\ncertificates:\n  - {names: [vpn_1.example.org], issuer: le}\n", `6:14: vpn_1.example.org cannot be in a TLS certificate: the label "vpn_1" has an underscore`, "cross reference"},
	{"certificate of no zone of the file", "version: 1\nissuers: {le: {domain: a.b}}\nzones:\n  example.org: {issue: [le]}\ncertificates:\n  - {names: [www.example.net], issuer: le}\n", "6:14: www.example.net is in no zone of the file, so nothing proves that it can be issued; list its zone, or remove the name", "cross reference"},
	{"certificate without names", "zone:    {}\ncertificates:\n  - {issuer: le}\n", "8:5: an entry of certificates has no names", ""},
	{"certificate with an empty list of names", "zone:    {}\ncertificates:\n  - {issuer: le, names: []}\n", "8:25: an entry of certificates has no names", ""},
	{"certificate without an issuer", "zone:    {}\ncertificates:\n  - {names: [example.org]}\n", "8:5: an entry of certificates has no issuer; write issuer: KEY", ""},
	{"certificate of an undeclared issuer", "zone:    {}\ncertificates:\n  - {names: [example.org], issuer: la}\n", `8:36: the issuer "la" is not declared under issuers; did you mean "le"?`, "cross reference"},
	{"certificate: name and issuer wrong at once", "zone:    {}\ncertificates:\n  - {names: [example..org], issuer: la}\n", "8:14: the name \"example..org\" is not a domain name\n8:37: the issuer \"la\" is not declared", ""},
	{"certificate of an undeclared account", "zone:    {}\ncertificates:\n  - {names: [example.org], issuer: le, account: \"a:3\"}\n", "8:49: the issuer does not declare the account a:3; add it under issuers first; did you mean \"a:1\"?", "cross reference"},
	{"certificate of an undeclared method", "zone:    {}\ncertificates:\n  - {names: [example.org], issuer: le, method: tls-alpn-01}\n", "8:48: the issuer does not declare the method tls-alpn-01; add it under issuers first; known here: dns-01, http-01", "cross reference"},
	{"certificate: account that is no URI", "zone:    {}\ncertificates:\n  - {names: [example.org], issuer: le, account: one}\n", "8:49: \"one\" is not the URI of an account (RFC 8657 3); copy the one that the ACME client shows", ""},
	{"certificate of another type", "zone:    {}\ncertificates:\n  - {names: [example.org], issuer: le, type: ev}\n", `8:46: type must be tls, smime or vmc, not "ev"`, ""},
	{"certificate for a mailbox", "zone:    {}\ncertificates:\n  - {names: [pki@example.org], issuer: le, type: smime}\n", `8:14: the name "pki@example.org" is not a domain name`, ""},
	{"certificate with a wildcard within", "zone:    {}\ncertificates:\n  - {names: [www.*.example.org], issuer: le}\n", `8:14: the name "www.*.example.org" is not a domain name`, ""},
	{"S/MIME with a wildcard", "zone:    {}\ncertificates:\n  - {names: [\"*.example.org\"], issuer: le, type: smime}\n", "8:14: only TLS certificates have wildcards; write example.org", "the type of the entry"},
	{"unknown key of a certificate", "zone:    {}\ncertificates:\n  - {name: example.org, issuer: le}\n", "8:5: an entry of certificates has no names\n8:6: unknown key \"name\" in an entry of certificates; did you mean \"names\"?", ""},

	// What users wrote when they were new.
	{"version as a text", "version: \"1\"\nzones: {a.example: {issue: none}}\n", `1:10: version must be a number, not the text "1"; write version: 1, without quotes`, ""},
	{"an issuer by its domain", "version: 1\nissuers: {le: {domain: letsencrypt.org}}\nzones:\n  a.example: {issue: [le], names: {www: {issue: [letsencrypt.org]}}}\n",
		"4:50: letsencrypt.org is the domain of the issuer le (caa.yaml:2:11), which is named by its key; write le", "cross reference"},
	{"a certificate of an issuer by its domain", "version: 1\nissuers: {le: {domain: LetsEncrypt.org.}}\nzones:\n  a.example: {issue: [le]}\ncertificates: [{names: [a.example], issuer: letsencrypt.org}]\n",
		"5:45: letsencrypt.org is the domain of the issuer le (caa.yaml:2:11)", "cross reference"},
	{"a method, and the issuer's label is the wrong one", "version: 1\nissuers: {le: {domain: a.b, methods: [dns01]}}\nzones: {a.example: {issue: [le]}}\ncertificates: [{names: [a.example], issuer: le, method: dns-01}]\n",
		`4:57: the issuer le has the method "dns01" (caa.yaml:2:39), which no CA is known to have; write dns-01 there`, "cross reference"},
	{"a narrowed method, and the issuer's label is the wrong one", "version: 1\nissuers: {le: {domain: a.b, methods: [dns01]}}\nzones: {a.example: {issue: [{issuer: le, methods: [dns-01]}]}}\n",
		`3:52: the issuer le has the method "dns01" (caa.yaml:2:39), which no CA is known to have; write dns-01 there`, "cross reference"},
	{"removed: an issuer that is not declared", "version: 1\nremoved: [{issuer: le, names: [a.example]}]\nzones: {a.example: {issue: none}}\n", `2:20: the issuer "le" is not declared under issuers; write its Issuer Domain Name, such as letsencrypt.org`, "cross reference"},
	{"removed: no issuer", "version: 1\nremoved: [{names: [a.example]}]\nzones: {a.example: {issue: none}}\n", "2:11: an entry of removed has no issuer; write issuer: DOMAIN", ""},
	{"removed: an empty list", "version: 1\nremoved: [{issuer: digicert.com, names: []}]\nzones: {a.example: {issue: none}}\n", "2:41: names is an empty list; list a name, or leave the key out to give up the issuer at all names", ""},
	{"removed: twice", "version: 1\nremoved: [{issuer: digicert.com, names: [a.example, a.example.]}]\nzones: {a.example: {issue: none}}\n", "2:53: digicert.com is listed twice in removed for this; remove one", "names that are equal"},
	{"removed: even_if_in_use is reserved", "version: 1\nremoved: [{issuer: digicert.com, even_if_in_use: true}]\nzones: {a.example: {issue: none}}\n", "2:34: even_if_in_use is reserved for a later version of the language", ""},
	{"activate is reserved", "version: 1\nactivate: 2026-12-01T10:00:00Z\nzones: {a.example: {issue: none}}\n", "2:1: activate is reserved for a later version", ""},
	{"experimental is reserved", "version: 1\nexperimental: {persist: []}\nzones: {a.example: {issue: none}}\n", "2:1: experimental is reserved for a later version", ""},
	{"issuewild: an issuer without brackets", "zone:    issuewild: le\n", "6:16: issuewild must be none, issue, or a list of issuers; write [le]", ""},
	{"a reserved key is not proposed", "version: 1\nexperimentl: 1\nzones: {a.example: {issue: none}}\n", `2:1: unknown key "experimentl" in the policy; known here: certificates, default, issuers, removed, report, ttl, version, zones`, ""},

	// All errors at once, in the file's order.
	{"all at once", "version: 3\nzonse: 1\nttl: 1h\nttl: soon\nzones:\n  example.org: {issue: [x], ttl: never, names: {\"*\": {}, a..b: {}}}\ncertificates: [{names: [example.com], type: ev}]\n",
		"1:10: version\n2:1: unknown key \"zonse\"\n4:1: duplicate key \"ttl\"\n4:6: ttl must be\n6:25: the issuer \"x\"\n6:34: ttl must be\n6:49: no CA asks for CAA at *: for a wildcard it asks at the name without the `*.` (RFC 8659 3); write issuewild at the zone itself\n6:58: the name \"a..b\"\n7:25: example.com is in no zone of the file, so nothing proves that it can be issued; list its zone, or remove the name\n7:45: type must be", notJSON},
}

// valids are policies that are accepted, with nothing but the language in them.
var valids = []struct{ name, text string }{
	{"all that there is", good},
	{"DESIGN", design},
	{"default alone", "version: 1\ndefault: {issue: none}\n"},
	{"zones alone", "version: 1\nzones: {a.example: {issue: none}}\n"},
	{"no zone at all", "version: 1\nzones: {}\n"},
	{"sections in any order", "zones: {a.example: {issue: [le]}}\nissuers: {le: {domain: a.b}}\nversion: 1\n"},
	{"byte order mark", "\uFEFFversion: 1\nzones: {a.example: {issue: none}}\n"},
	{"CRLF", strings.ReplaceAll(good, "\n", "\r\n")},
	{"end of document", "---\nversion: 1\nzones: {a.example: {issue: none}}\n...\n"},
	{"JSON", `{"version": 1, "zones": {"a.example": {"issue": "none"}}}`},
	{"names that look like numbers", "zone:    names: {10: {issue: none}, 1.20: {issue: none}, true: {issue: none}, 2026-11-24: {issue: none}}\n"},
	{"names of every form", "zone:    names: {_25._tcp.mail: {issue: none}, BÜCHER: {issue: none}, xn--mnchen-3ya: {issue: none}, a--b: {issue: none}, a.b.c.: {issue: none}}\n"},
	{"a zone of the top level and the root", "version: 1\nzones: {org: {issue: none}, .: {issue: none}}\n"},
	{"ttl in every form", "zone:    ttl: 30\n    names: {a: {ttl: 24h}, b: {ttl: 1h30m}, c: {ttl: 90s}, d: {ttl: 86400}, e: {ttl: 0h30s}}\n"},
	{"lists that take back", "zone:    report: []\n    properties: []\n    critical: []\n"},
	{"issue any with something else", "zone:    issue: any\n    report: [\"https://example.org/caa\"]\n"},
	{"issue any with issuewild", "zone:    issue: any\n    issuewild: none\n"},
	{"issue by a property", "version: 1\nzones: {a.example: {properties: [{tag: issue, value: \"a.b\"}]}}\n"},
	{"an issuer that issue any lets issue", "version: 1\nissuers: {le: {domain: a.b}}\nzones: {a.example: {issue: any, issuewild: none}}\n"},
	{"an issuer by a property", "version: 1\nissuers: {le: {domain: a.b}}\nzones: {a.example: {properties: [{tag: issue, value: \"a.b\"}]}}\n"},
	{"an issuer of wildcards alone", "version: 1\nissuers: {le: {domain: a.b}}\nzones: {a.example: {issue: none, issuewild: [le]}}\n"},
	{"an issuer twice, narrowed differently", "zone:    issue: [{issuer: le, accounts: ['a:1'], methods: [dns-01]}, {issuer: le, accounts: ['a:2']}]\n"},
	{"an empty value", "zone:    properties: [{flags: 0, tag: x, value: \"\"}]\n"},
	{"critical with a tag of properties", "zone:    properties: [{tag: Future, value: \"1\"}]\n    critical: [future]\n"},
	{"certificates of every type", "zone:    {}\ncertificates:\n  - {names: [example.org, WWW.example.org.], issuer: le, account: \"a:1\", method: dns-01, type: tls}\n  - {names: [example.org], issuer: le, type: smime}\n  - {names: [example.org], issuer: le, type: vmc}\n"},
	{"no certificates", "zone:    {}\ncertificates: []\n"},
	{"a certificate that only default covers", "version: 1\nissuers: {le: {domain: a.b}}\ndefault: {issue: [le]}\ncertificates: [{names: [example.net], issuer: le}]\n"},
	{"name servers of both kinds", "zone:    nameservers: [{name: ns.example.org, addresses: [192.0.2.1, '2001:db8::1']}, {name: ns.example.net}]\n"},
	{"challenge without {name}", policyOnly + "    challenge: acme.example.net\n    names: {www: {challenge: none}}\n"},
	{"challenge with an IDN", policyOnly + "    challenge: \"{name}.bücher.example\"\n"},
}

// design is the example of the contract, DESIGN section 4, with its second zone.
const design = `version: 1
ttl: 1h                                  # of CAA RRsets, default 1h
report: [mailto:pki@example.org]         # iodef, inherited by every zone
issuers:                                 # every CA in use
  letsencrypt:
    domain: letsencrypt.org
    accounts: [https://acme-v02.api.letsencrypt.org/acme/acct/1234567]
    methods: [dns-01, http-01]           # RFC 8657 validationmethods
  digicert: {domain: digicert.com}
default:                                 # for a served zone that is not listed
  issue: [letsencrypt]
zones:
  example.org:                           # overlay: the next plugin holds the rest of the zone
    issue: [letsencrypt]
    issuewild: none                      # CAA 0 issuewild ";"
    issuemail: [digicert]
    critical: [issuewild]                # flag 128
    names:
      shop: {issue: [digicert, letsencrypt]}
      dev:  {issuewild: [letsencrypt]}
  corp.example.org:                      # policy-only: has nameservers
    nameservers: [{name: ns1.corp.example.org, addresses: [192.0.2.1, "2001:db8::1"]}, {name: ns2.example.net}]
    issue: [letsencrypt]
    challenge: "{name}.acme.example.net"
certificates:
  - names: [www.example.org, "*.dev.example.org"]
    issuer: letsencrypt
    method: dns-01
    type: tls
`
