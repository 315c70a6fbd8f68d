package selfcheck

import (
	"fmt"
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
)

// Reason is the stable code of a Finding: one of the table of this package, a Reason of package guard or issuance for what
// a CAA RRset says, or one of package dnssec for an answer that does not validate.
type Reason string

// The reasons of this package.
const (
	NoZone        Reason = "no-zone"
	AliasOut      Reason = "alias-elsewhere"
	UnderCut      Reason = "zone-cut"
	ForeignKeys   Reason = "foreign-key-records"
	NoAnswer      Reason = "no-answer"
	AliasLoop     Reason = "alias-loop"
	NoCAA         Reason = "caa-missing"
	Hidden        Reason = "denial-hides-data"
	AncestorGone  Reason = "ancestor-denied"
	AliasByType   Reason = "alias-not-for-all-types"
	CutByType     Reason = "cut-not-for-all-types"
	MadeFalsely   Reason = "dname-substitution-wrong"
	WrongDSAbove  Reason = "ds-of-unsigned-zone"
	NotDelegated  Reason = "delegation-denied"
	KeysNotServed Reason = "dnskey-missing"
)

// row is what the table has of a reason.
type row struct {
	state State
	entry catalog.Entry
}

// reasons are the reasons of this package.
var reasons = []row{
	{NotServed, catalog.Entry{Code: string(NoZone), Severity: catalog.Info, Text: "the name is in no zone of the server", Fix: "serve the zone, or leave it to the server that has it"}},
	{Governed, catalog.Entry{Code: string(AliasOut), Severity: catalog.Info, Section: "RFC 8659 3", Text: "the name is an alias of one outside of the zones that are checked, whose CAA counts", Fix: "check the CAA of the target"}},
	{Governed, catalog.Entry{Code: string(UnderCut), Severity: catalog.Info, Section: "RFC 1034 4.2.1", Text: "the name is at or below a zone cut, and its CAA comes from the child zone's servers", Fix: "check the CAA of the child zone"}},
	{Governed, catalog.Entry{Code: string(ForeignKeys), Severity: catalog.Warning, Section: "RFC 8078 2", Text: "the data of a zone have CDS or CDNSKEY of keys that do not sign it", Fix: "remove them from the data"}},
	{Unanswered, catalog.Entry{Code: string(NoAnswer), Severity: catalog.Error, Text: "the server gives no answer that can be used", Fix: "fix the plugin that fails"}},
	{Unanswered, catalog.Entry{Code: string(AliasLoop), Severity: catalog.Error, Section: "RFC 1034 3.6.2", Text: "the CNAME chain is a loop or too long", Fix: "end the CNAME chain at a name that is not an alias"}},
	{AtRisk, catalog.Entry{Code: string(NoCAA), Severity: catalog.Error, Section: "RFC 8659 3", Text: "the name exists, but its CAA is denied", Fix: "look for a plugin that changes the answers of caa; if there is none, report this as a bug"}},
	{AtRisk, catalog.Entry{Code: string(Hidden), Severity: catalog.Error, Section: "RFC 8198 5", Text: "the denial of one type also denies a type that exists", Fix: "look for a plugin that changes the answers of caa; if there is none, report this as a bug"}},
	{AtRisk, catalog.Entry{Code: string(AncestorGone), Severity: catalog.Error, Section: "RFC 8020 2", Text: "a name is denied, but a name below it exists", Fix: "have the next plugin answer for names without data that have names below them"}},
	{AtRisk, catalog.Entry{Code: string(AliasByType), Severity: catalog.Error, Section: "RFC 1034 3.6.2", Text: "a name is an alias for some types only", Fix: "have the next plugin answer with the alias for every type"}},
	{AtRisk, catalog.Entry{Code: string(CutByType), Severity: catalog.Error, Section: "RFC 1034 4.3.2", Text: "a name is below a zone cut for some types only", Fix: "have the next plugin answer with the referral for every type"}},
	{Bogus, catalog.Entry{Code: string(MadeFalsely), Severity: catalog.Error, Section: "RFC 6672 2.2", Text: "a CNAME is not the one that its DNAME makes", Fix: "look for a plugin that changes the answers of caa; if there is none, report this as a bug"}},
	{Bogus, catalog.Entry{Code: string(WrongDSAbove), Severity: catalog.Error, Section: "RFC 4035 5.2", Text: "an unsigned zone has a DS in the zone above it", Fix: "remove the DS, or sign the zone"}},
	{Bogus, catalog.Entry{Code: string(NotDelegated), Severity: catalog.Error, Section: "RFC 6840 4.4", Text: "the zone above denies the delegation of a zone that is served", Fix: "delegate the zone in the data of the zone above"}},
	{Bogus, catalog.Entry{Code: string(KeysNotServed), Severity: catalog.Error, Section: "RFC 4035 2.1", Text: "a signed zone has no DNSKEY", Fix: "look for a plugin that changes the answers of caa; if there is none, report this as a bug"}},
}

// Reasons returns the table of the reasons of this package.
func Reasons() (entries []catalog.Entry) {
	for _, r := range reasons {
		entries = append(entries, r.entry)
	}
	return entries
}

// Find returns the Finding of a reason of this package, whose cause is formatted as by fmt.Printf. One that the table lacks
// is a mistake of ours, and is shown: the check must not end the process.
func Find(reason Reason, format string, args ...any) Finding {
	state := AtRisk
	if i := slices.IndexFunc(reasons, func(r row) bool { return r.entry.Code == string(reason) }); i >= 0 {
		state = reasons[i].state
	}
	return find(state, reason, format, args...)
}

func find(state State, reason Reason, format string, args ...any) Finding {
	return Finding{state, reason, fmt.Sprintf(format, args...)}
}
