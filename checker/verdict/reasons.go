package verdict

import (
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/issuance"
)

// reasons is the table of the reasons of verdicts, whichever package gives them. What is wrong in detail is in the
// findings; the fix is for a reader who sees the verdict alone.
var reasons = []catalog.Entry{
	// The CA may issue.
	{Code: "authorized", Section: "RFC 8659 4.2", Text: "a record names the CA, and its parameters match"},
	{Code: "no-property", Section: "RFC 8659 4.2", Text: "the name has CAA records, and none of them restricts this kind of certificate"},
	{Code: "no-rrset", Section: "RFC 8659 3", Text: "there is no CAA record at the name or above it: any CA may issue"},

	// The CAA records.
	{Code: "issuer-not-listed", Severity: catalog.Error, Section: "RFC 8659 4.2", Text: "the CAA records name other CAs only",
		Fix: `if the CA is to issue, add a record that names it, at every server: issue, or for a wildcard name with issuewild records, issuewild`},
	{Code: "nobody-authorized", Severity: catalog.Error, Section: "RFC 8659 4.2", Text: "the CAA records permit no CA",
		Fix: `if the CA is to issue, add a record that names it, with the tag of the record that permits no CA`},
	{Code: "malformed", Severity: catalog.Error, Section: "RFC 8659 4.2", Text: "the value of a record cannot be parsed, and no other record permits the CA",
		Fix: `write the value as the CA's domain, then a semicolon before each parameter tag=value`},
	{Code: "critical-unknown", Severity: catalog.Error, Section: "RFC 8659 4.1", Text: "a record with an unknown tag has the critical flag: CAs that do not know the tag must not issue",
		Fix: `set the record's flags to 0`},
	{Code: "issuer-name-not-exact", Severity: catalog.Error, Section: "RFC 8659 4.2", Text: "the CA's domain is written differently, and some CAs compare it octet by octet",
		Fix: `write the CA's domain as the CA does, in lower case and without a final dot`},
	{Code: "account-mismatch", Severity: catalog.Error, Section: "RFC 8657 3", Text: "the record permits another account only",
		Fix: `set accounturi to the account that requests certificates, or use the account that it names`},
	{Code: "method-not-allowed", Severity: catalog.Error, Section: "RFC 8657 4", Text: "the record permits other validation methods only",
		Fix: `add the method to validationmethods, or use a method that is listed there`},
	{Code: "unsatisfiable-parameters", Severity: catalog.Error, Section: "RFC 8657 3", Text: "no request can satisfy the record's parameters",
		Fix: `write one accounturi that is a URI, and one validationmethods with labels separated by commas, both tags in lower case`},
	{Code: "method-unknown", Severity: catalog.Error, Section: "RFC 8657 4", Text: "no CA is known to have the validation method that the record names",
		Fix: `write the label of the method as the CA does, such as dns-01`},
	{Code: "method-no-wildcard", Severity: catalog.Error, Section: "BR 3.2.2.4", Text: "none of the validation methods that the record permits can validate a wildcard",
		Fix: `add dns-01 to validationmethods`},
	{Code: "method-not-yet-understood", Severity: catalog.Error, Section: "BR 4.2.2.1.2", Text: "CAs need not yet understand any of the labels in validationmethods",
		Fix: `add the label of an ACME method, such as dns-01, to validationmethods until the date from which CAs have to understand the others`},
	{Code: "rrset-too-many-records", Severity: catalog.Error, Section: "BIND 9, max-records-per-type", Text: "resolvers answer SERVFAIL for more than 100 records of a name and type",
		Fix: `have at most 100 CAA records at a name: name fewer CAs or accounts`},
	{Code: "account-of-another-ca", Severity: catalog.Error, Section: "RFC 8657 3", Text: "accounturi is an account at another CA",
		Fix: `write the URI of the account at the CA that the record names`},
	{Code: "account-of-staging", Severity: catalog.Error, Section: "RFC 8657 3", Text: "accounturi is an account of the CA's staging environment",
		Fix: `register the ACME client at the production directory, and write that account's URI`},
	{Code: "issuer-retired", Severity: catalog.Error, Section: "CCADB, CAA identifiers", Text: "the CA no longer issues under this domain",
		Fix: `write one of the CA's present domains`},
	{Code: "issuer-reseller", Severity: catalog.Error, Section: "CCADB, CAA identifiers", Text: "the domain is a reseller's: its CA issues under another one",
		Fix: `write the domain of the CA that issues for the reseller`},
	{Code: "issuer-misspelt", Severity: catalog.Error, Section: "CCADB, CAA identifiers", Text: "no CA is known by this domain, and one is by a similar domain",
		Fix: `write the CA's domain as the CA does; if it is a private CA's, check it with --issuer`},

	// The lookup.
	{Code: "dnssec-bogus", Severity: catalog.Error, Section: "BR 4.2.2.2", Text: "the CAA records do not validate: CAs' resolvers answer SERVFAIL",
		Fix: `fix the zone's signatures or its DS record at the parent: a finding shows which`},
	{Code: "dnssec-bogus-unchecked", Severity: catalog.Error, Section: "BR 4.2.2.2", Text: "the CAA records do not validate, by the rules of a date at which CAs need not validate",
		Fix: `fix the zone's signatures or its DS record at the parent: since 2026-03-15 every CA validates`},
	{Code: "lookup-failed-signed", Severity: catalog.Error, Section: "BR 4.2.2.1", Text: "the lookup of CAA fails, and the zone is not proven to be unsigned",
		Fix: `have the zone's servers answer queries for CAA at that name, with an empty answer if there is no record; --observations FILE keeps their replies`},
	{Code: "lookup-failed-unsigned", Severity: catalog.Error, Section: "BR 4.2.2.1", Text: "the lookup of CAA fails in an unsigned zone: some CAs issue then, and others do not",
		Fix: `have the zone's servers answer queries for CAA at that name, with an empty answer if there is no record; --observations FILE keeps their replies`},
	{Code: "alias-loop", Severity: catalog.Error, Section: "RFC 1034 3.6.2, RFC 8659 3", Text: "the aliases of the name loop, or are more than resolvers follow: CAs treat the lookup as failed",
		Fix: `change one of these CNAME or DNAME records, so that the chain ends after a few steps at a name that is not an alias`},
	{Code: "denial-without-soa", Severity: catalog.Error, Section: "RFC 2308 3", Text: "an empty answer comes without the zone's SOA record, and some resolvers answer SERVFAIL then",
		Fix: `have every server add the zone's SOA record to empty and NXDOMAIN answers`},
	{Code: "wildcard-alias-misread", Severity: catalog.Error, Section: "RFC 4035 5.3.4", Text: "some resolvers answer SERVFAIL for a wildcard CNAME record that leads to an unsigned zone",
		Fix: `sign the zone of the target and publish its DS record, or add CAA at the target, or add a CNAME record at the name itself`},
	{Code: "servers-disagree", Severity: catalog.Error, Section: "BR 3.2.2.9", Text: "by the answers of some of the zone's servers the CA may issue, and by those of others it may not",
		Fix: `have every server of the zone give the same answers: a finding shows which one differs, and why`},
	{Code: "validators-differ", Severity: catalog.Error, Section: "RFC 4509 3, RFC 9905 2", Text: "the lookup fails for some validating resolvers and not for others, by the algorithms and digests that they accept",
		Fix: `publish only DS records of keys that sign the zone, and roll over to keys and DS records without SHA-1: findings show what fails`},
	{Code: "caa-beside-cname", Severity: catalog.Error, Section: "RFC 1034 3.6.2", Text: "the name has CAA records, and a CNAME record for other types: which one counts depends on the resolver's cache",
		Fix: `let the name be an alias for every type, or give it addresses of its own instead of the CNAME record`},
	{Code: "domain-missing", Severity: catalog.Error, Section: "RFC 8020 2, BR 3.2.2.4", Text: "the name is in a domain that does not exist: no CA can validate control of it",
		Fix: `correct the spelling of the name, or register the domain and have its delegation published`},

	// This machine.
	{Code: "lookup-incomplete", Severity: catalog.Warning, Section: "RFC 8659 3", Text: "the lookup did not reach the name's servers",
		Fix: `check again; if it stays, check from another network or with --resolver`},
	{Code: "offline", Severity: catalog.Warning, Section: "RFC 8659 3", Text: "no server answers this machine, not even the root servers",
		Fix: `make sure that this machine reaches name servers over UDP and TCP port 53, or use --resolver`},
	{Code: "trust-anchor-fails", Severity: catalog.Warning, Section: "RFC 4035 5", Text: "the zone of the trust anchor does not validate from this machine",
		Fix: `make sure that the zone's servers answer this machine and that nothing redirects port 53; then check this machine's clock and the trust anchor`},

	// Other perspectives.
	{Code: "quorum-not-corroborated", Severity: catalog.Error, Section: "BR 3.2.2.9", Text: "too few perspectives see that the CA may issue",
		Fix: `have the name's servers return the same records to every network: look at what the perspectives that deny saw, and at answers by region, firewalls and routes`},
	{Code: "quorum-contested", Severity: catalog.Error, Section: "BR 3.2.2.9", Text: "the quorum depends on perspectives whose CAA records CAs read differently",
		Fix: `write the records that the disputed perspectives saw so that every CA reads them alike`},
	{Code: "quorum-undetermined", Severity: catalog.Warning, Section: "BR 3.2.2.9", Text: "the quorum depends on perspectives that could not determine an answer",
		Fix: `find out why perspectives do not answer, or declare more of them in the regions that the rule requires`},
	{Code: "locked-out-only-here", Severity: catalog.Error, Section: "BR 3.2.2.9", Text: "the CA is locked out as seen from this machine, and the perspectives corroborate that it may issue",
		Fix: `look at the network between this machine and the name's servers`},
}

// Reasons returns the catalog of the reasons of verdicts, in the table's order.
func Reasons() []catalog.Entry { return slices.Clone(reasons) }

// Reason returns the entry of a reason, false for one that is not in the catalog.
func Reason(reason issuance.Reason) (catalog.Entry, bool) {
	i := slices.IndexFunc(reasons, func(e catalog.Entry) bool { return e.Code == string(reason) })
	if i < 0 {
		return catalog.Entry{}, false
	}
	return reasons[i], true
}
