package dnsname

import (
	"errors"

	"github.com/miekg/dns"
)

// What Substitute makes of a name that a DNAME does not redirect.
var (
	ErrNoMatch = errors.New("the name is not below the owner of the DNAME (RFC 6672 2.3)")
	ErrTooLong = errors.New("the name that the DNAME makes is longer than 255 octets: YXDOMAIN (RFC 6672 2.2)")
)

// Substitute returns the name to which a DNAME redirects a name below its owner: the owner's labels at the end of the
// name are replaced by the target (RFC 6672 2.2). Case does not matter, and stays as it is. The error is [ErrNoMatch] or
// [ErrTooLong].
func Substitute(name, owner, target string) (string, error) {
	if !Below(name, owner) {
		return "", ErrNoMatch
	}
	made := target
	if off, _ := dns.PrevLabel(name, dns.CountLabel(owner)); off > 0 {
		made = Join(name[:off], target)
	}
	if !Valid(made) {
		return "", ErrTooLong
	}
	return made, nil
}
