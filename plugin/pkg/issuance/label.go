package issuance

import (
	"fmt"
	"strings"
)

// CertificateLabel returns why a label of a domain name, in lower case, cannot be in a TLS certificate; nil where it can
// (BR 7.1.2.7.12, RFC 5890 2.3.1).
func CertificateLabel(label string) error {
	switch {
	case strings.Contains(label, "_"):
		return fmt.Errorf("cannot be in a TLS certificate: the label %q has an underscore (BR 7.1.2.7.12)", label)
	case len(label) > 3 && label[2:4] == "--" && !strings.HasPrefix(label, "xn--"):
		return fmt.Errorf("cannot be in a TLS certificate: the label %q is reserved, by its third and fourth hyphens (BR 7.1.2.7.12, RFC 5890 2.3.1)", label)
	}
	return nil
}
