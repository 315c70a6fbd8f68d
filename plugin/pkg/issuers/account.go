package issuers

// AccountFault is why the CA of a name issues to no account with a URI. Its values are stable codes.
type AccountFault string

// The faults of accounts.
const (
	NoFault   AccountFault = ""
	AnotherCA AccountFault = "account-of-another-ca"
	Staging   AccountFault = "account-of-staging"
)

// CheckAccount holds an ACME account's URI against an Issuer Domain Name. ca is the CA that has the account. A URI that the
// directory does not know has no fault.
func CheckAccount(domain, uri string) (fault AccountFault, ca *CA) {
	ca, staging := ByAccount(uri)
	switch {
	case ca == nil:
		return NoFault, nil
	case Lookup(domain).Honoured() && !ca.Answers(domain):
		return AnotherCA, ca
	case staging:
		return Staging, ca
	}
	return NoFault, ca
}
