package guard

import (
	"time"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
	"github.com/coredns-caa/caa/plugin/pkg/issuers"
)

// Entry is one row of the table of refusals and warnings. An error refuses the policy, a warning does not, and what is
// less is not reported.
type Entry struct {
	catalog.Entry

	// property finds it in a Property of the policy: what is wrong, for people, "" for nothing. Where it is nil, the
	// code that proves issuances finds it.
	property func(issuance.Property) string
}

// NothingRequired is the code of the warning that nothing is protected.
const NothingRequired = "nothing-required"

// Mistake is the code of a refusal by the policy's language: the file cannot be read.
const Mistake = "mistake"

// Codes of refusals and warnings that are not reasons of a judgement.
const (
	notCovered            = "not-covered"
	atAlias               = "alias"
	issuerUnknown         = "issuer-unknown"
	issuerDeprecated      = "issuer-deprecated"
	issuerUnconfirmed     = "issuer-unconfirmed"
	accountOfExample      = "account-of-example"
	parametersNotYetBound = "parameters-not-yet-bound"
	tagMisspelt           = "tag-misspelt"
	tagUnknown            = "tag-unknown"
	valueEmpty            = "value-empty"
	reportHTTP            = "report-http"
	rrsetTooLong          = "rrset-too-long"
	rrsetLong             = "rrset-long"
	challengeUnanswerable = "challenge-unanswerable"
	zoneMisspelt          = "zone-misspelt"
	removedRequired       = "removed-and-required"
	removedGranted        = "removed-and-permitted"
	moreRefusals          = "more-refusals"
	moreWarnings          = "more-warnings"
)

const (
	asProperty = "remove the property and list the issuer, with its accounts and methods, under the tag instead"
	asMethod   = "write a label of IANA's registry, such as dns-01, or one that begins with ca-, such as ca-tbr-7 for section 3.2.2.4.7 of the Baseline Requirements; for a private CA, or a method newer than this program, add unlisted: true to the issuer"
	inServer   = "RFC 1034 4.2.1"
)

// entries is the table.
var entries = []Entry{
	// Of required issuances.
	row(string(issuance.NobodyAuthorized), catalog.Error, "RFC 8659 4.2 and 4.3", "the RRset of a required name authorises no CA", "list the issuer under issue, issuewild, issuemail or issuevmc"),
	row(string(issuance.IssuerNotListed), catalog.Error, "RFC 8659 3 and 4.2", "the RRset of a required name authorises other CAs alone", "list the issuer there, too"),
	row(string(issuance.AccountMismatch), catalog.Error, "RFC 8657 3", "the RRset of a required name binds the issuer to other accounts", "add the account to the accounts there"),
	row(string(issuance.MethodNotAllowed), catalog.Error, "RFC 8657 4", "the RRset of a required name allows the issuer other validation methods alone", "add the method to the methods there"),
	row(string(MethodNoWildcard), catalog.Error, "BR 3.2.2.4", "no CA validates the required wildcard by the methods that are allowed", "allow a method that validates wildcards, such as dns-01"),
	dated(issuance.LabelsBind.From, catalog.Error, row(string(MethodNotYet), catalog.Info, issuance.LabelsBind.Section, "the methods that are allowed have labels that the CA need not understand yet", "add the label of the ACME method, such as dns-01")),
	row(string(issuers.AnotherCA), catalog.Error, "RFC 8657 3", "the account belongs to another CA, so its URI never matches", "write the URI of the account at the issuer"),
	row(string(issuers.Staging), catalog.Error, "RFC 8657 3", "the account belongs to a staging environment, so no production certificate matches it", "register the ACME client at the production directory and write that account's URI"),
	row(notCovered, catalog.Error, "RFC 8659 3", "no zone of the policy answers for a required name", "list the name's zone under zones"),
	row(atAlias, catalog.Error, "RFC 8659 3", "a required name is an alias by challenge, so the target's CAA decides", "remove the name from certificates: a certificate is for the name without _acme-challenge"),
	row("node-at-alias", catalog.Error, "RFC 1034 3.6.2, RFC 8659 3", "a name of the policy is an alias in the zone's data, so its CAA is never answered", "remove the name from the policy, and write what holds at the alias's target"),
	row("no-data", catalog.Error, inServer, "no plugin has the data of a zone without nameservers", "write nameservers, or have another plugin of the server block serve the zone"),
	row("lame-delegation", catalog.Error, inServer, "the policy drops a zone that is still delegated to this server", "list the zone again, or change its delegation first"),
	row(removedRequired, catalog.Error, "", "an issuer is given up under removed and required under certificates", "remove the name from the one or the other"),
	row(removedGranted, catalog.Error, "", "an issuer is given up under removed, and the policy still permits it", "remove the issuer there, or the entry of removed"),

	// Of issuers.
	row(string(issuance.NameNotExact), catalog.Error, "RFC 8659 4.2", "CAs compare the Issuer Domain Name byte for byte, and this one differs from the CA's", "write the name in lower case, without a last dot"),
	row(string(Reseller), catalog.Error, "RFC 8659 4.2", "the name is a reseller's, and authorises no CA", "write the Issuer Domain Name of the CA that issues"),
	row(string(Retired), catalog.Error, "CCADB, CAA identifiers", "the CA no longer honours the name", "write the CA's present Issuer Domain Name"),
	lenient("for an unlisted issuer", row(string(Misspelt), catalog.Error, "CCADB, CAA identifiers", "no public CA has the name, and it is near to the name of one", "write the name as the CA writes it")),
	row(issuerUnknown, catalog.Error, "CCADB, CAA identifiers", "the name is not in the directory of public CAs", "write the Issuer Domain Name that the CA's documents give, or add unlisted: true for a private CA"),
	row(issuerDeprecated, catalog.Warning, "CCADB, CAA identifiers", "the CA deprecates the name", "write the name that the CA prefers"),
	row(issuerUnconfirmed, catalog.Warning, "CCADB, CAA identifiers", "the CCADB's report of August 2026 does not list the name", "ask the CA whether it still honours the name"),
	lenient("for an unlisted issuer, or next to a known method", row(string(MethodUnknown), catalog.Error, "RFC 8657 4", "no CA is known to have the validation method", asMethod)),
	row(accountOfExample, catalog.Warning, "RFC 8657 3", "the account is the one of this project's examples, so that no client of yours can use it", "write the URI of your own account, as the ACME client shows it"),
	dated(issuance.ParametersBind.From, catalog.Warning, row(parametersNotYetBound, catalog.Info, issuance.ParametersBind.Section, "the CA is not known to process accounts and methods before it has to", "check that renewals use these accounts and methods before they bind")),

	// Of properties.
	row(string(issuance.CriticalUnknown), catalog.Error, "RFC 8659 4.1", "a property is critical, and CAs that do not know its tag issue to nobody", "remove the critical flag"),
	row(tagMisspelt, catalog.Error, "RFC 8659 4.1", "no CA is known to process the tag, and it is near to one that CAs process", "write the tag as IANA's registry has it"),
	found(row(tagUnknown, catalog.Warning, "RFC 8659 4.1", "no CA is known to process the tag, so it restricts nobody", "check the spelling of the tag"), unknownTag),
	found(row(valueEmpty, catalog.Warning, "RFC 8659 4.2", "PowerDNS Recursor treats a signed RRset with an empty value as bogus", `for nobody write none, or the value ";"`), emptyValue),
	found(row(reportHTTP, catalog.Warning, "BR 4.2.2.1", "CAs need not support http: in report", "write mailto: or https:"), httpReport),
	row(string(issuance.Malformed), catalog.Error, "RFC 8659 4.2", "a malformed value authorises no CA", asProperty),
	row(string(issuance.BadParameters), catalog.Error, "RFC 8657 3", "no request can satisfy the parameters of a value", asProperty),
	row("parameter-not-lower-case", catalog.Error, "RFC 8657 3 and 4", "some CAs ignore a parameter whose tag has capitals, which admits any account, and others deny", "write the tag in lower case"),
	row("parameter-hyphen", catalog.Error, "RFC 8659 4.2", "some CAs deny a value with a hyphen in a parameter's tag", asProperty),
	row("parameter-unknown", catalog.Error, "RFC 8659 4.2", "no CA is known to process the parameter", asProperty),

	// Of RRsets and zones.
	row(string(TooManyRecords), catalog.Error, "BIND 9, max-records-per-type", "resolvers that run BIND answer SERVFAIL to more than 100 records of a name and type", "have fewer records"),
	row(rrsetTooLong, catalog.Error, "RFC 1035 4.2.2", "no DNS message can hold the RRset", fewer),
	row(rrsetLong, catalog.Warning, "RFC 9715", "the RRset does not fit a UDP answer, so CAs ask again over TCP", "let TCP port 53 answer from everywhere"),
	row("short-ttl", catalog.Warning, "RFC 8659 3", "while the policy changes, the lookups of one issuance may get different answers", "write a ttl of 30s or more"),
	row(challengeUnanswerable, catalog.Warning, "RFC 8555 8.4", "dns-01 is required in a zone in which nobody can publish its TXT record", "write challenge, which makes _acme-challenge names aliases into a zone that the ACME client may write to"),
	row(zoneMisspelt, catalog.Warning, "RFC 8659 3", "only default governs a required name, and it is near to a zone of the file", "correct the name or the zone"),
	row(NothingRequired, catalog.Warning, "", "the policy requires nothing, so nothing is protected", "list the names of your certificates under certificates, or name their CAs in issuer lines of the server"),
	row(Mistake, catalog.Error, "", "the policy file breaks a rule of its language", "write what the message says"),
	row(moreRefusals, catalog.Error, "", "there are more refusals than are kept", "fix those first, then look again"),
	row(moreWarnings, catalog.Warning, "", "there are more warnings than are kept", "fix those first, then look again"),
}

func row(code string, severity catalog.Severity, section, text, fix string) Entry {
	return Entry{Entry: catalog.Entry{Code: code, Severity: severity, Section: section, Text: text, Fix: fix}}
}

// dated returns a row of a rule that binds from a day on, with the severity until then.
func dated(from time.Time, before catalog.Severity, e Entry) Entry {
	e.From, e.Before = from, before
	return e
}

// lenient returns a row of what is only a warning somewhere.
func lenient(where string, e Entry) Entry {
	e.Lenient = where
	return e
}

// found returns a row with what finds it in a property.
func found(e Entry, property func(issuance.Property) string) Entry {
	e.property = property
	return e
}

// Entries returns the table of all that can be refused and warned of.
func Entries() []catalog.Entry {
	out := make([]catalog.Entry, len(entries))
	for i, e := range entries {
		out[i] = e.Entry
	}
	return out
}

var byCode = func() map[string]Entry {
	out := make(map[string]Entry, len(entries))
	for _, e := range entries {
		out[e.Code] = e
	}
	return out
}()

// Find returns the row of a code; the zero Entry where the table has none.
func Find(code string) Entry { return byCode[code] }
