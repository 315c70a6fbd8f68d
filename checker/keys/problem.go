package keys

import (
	"slices"

	"github.com/coredns-caa/caa/plugin/pkg/catalog"
	"github.com/coredns-caa/caa/plugin/pkg/keyroll"
)

// Codes of problems that are found here; the others are of package keyroll.
const (
	filesMissing      = "key-files-missing"
	noServer          = "no-server"
	badFiles          = "files"
	dnskeyNotAnswered = "dnskey-not-answered"
	serversDiffer     = "servers-differ"
	bogus             = "bogus"
)

// problems is the table of the problems that are found in a folder or from outside.
var problems = []catalog.Entry{
	{Code: filesMissing, Severity: catalog.Error, Section: "RFC 6781 3.4.3", Text: "the key is in use, and one of its files is missing",
		Fix: "restore the files from a backup, or have the server that still runs write what it holds, with caacheck keys restore; no new key can replace it"},
	{Code: noServer, Severity: catalog.Error, Section: "RFC 6781 4.1", Text: "no server writes to the folder, so no key changes its state",
		Fix: "make sure that a server runs with this folder, and may write to it"},
	{Code: badFiles, Severity: catalog.Error, Section: "RFC 6781 3.4.3", Text: "the server reports a problem with the files", Fix: "fix what it reports"},
	{Code: dnskeyNotAnswered, Severity: catalog.Error, Section: "RFC 4035 3.1", Text: "no answer for the zone's DNSKEY RRset",
		Fix: "make sure that each server is reachable, and serves the zone"},
	{Code: serversDiffer, Severity: catalog.Error, Section: "RFC 1034 4.3.5", Text: "the zone's servers have different keys",
		Fix: "check again in some minutes; if they still differ, one of them is not kept up to date"},
	{Code: bogus, Severity: catalog.Error, Section: "RFC 4035 4.3", Text: "the zone does not validate", Fix: "look at the chain of trust with caacheck -v ZONE"},
	{Code: string(keyroll.Orphaned), Severity: catalog.Error, Section: "RFC 4035 5.2", Text: "the parent has DS records, and none of them is of a key that signs the DNSKEY RRset: the zone is bogus there",
		Fix: "sign the DNSKEY RRset with the key that the DS names, or have the parent replace or remove the DS"},
	{Code: string(keyroll.ForeignDS), Severity: catalog.Error, Section: "RFC 6781 4.1.2", Text: "the parent has a DS record of a key that is not in the zone",
		Fix: "have the parent remove it, unless it is of a key that is about to be published"},
}

// Entries returns the catalog of the problems that are found in a folder or from outside.
func Entries() []catalog.Entry { return slices.Clone(problems) }

// problem makes one of the table.
func problem(code string, of Problem) Problem {
	i := slices.IndexFunc(problems, func(e catalog.Entry) bool { return e.Code == code })
	of.Code, of.Cause, of.Fix = code, problems[i].Text, problems[i].Fix
	return of
}
