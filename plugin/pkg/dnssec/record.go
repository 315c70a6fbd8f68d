package dnssec

import (
	"reflect"
	"strings"

	"github.com/miekg/dns"
)

// Text is a record's data in zone file syntax with every name in lower case: two records of one name and type are the
// same if their texts are. Servers write names in RDATA in the case of the question, where they compress them
// (RFC 1035 4.1.4), and case never matters in a name (RFC 4343, RFC 4034 6.2).
func Text(rr dns.RR) string {
	rr = dns.Copy(rr)
	lowerNames(reflect.ValueOf(rr).Elem())
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// lowerNames makes every name in a record lower case: the library marks the fields that hold one.
func lowerNames(record reflect.Value) {
	for i := range record.NumField() {
		field := record.Field(i)
		switch kind := record.Type().Field(i); kind.Tag.Get("dns") {
		case "cdomain-name", "domain-name":
			lowerName(field)
		case "":
			if kind.Anonymous { // as HTTPS is made of SVCB
				lowerNames(field)
			}
		}
	}
}

// lowerName makes a field lower case that is a name, or several.
func lowerName(field reflect.Value) {
	if field.Kind() == reflect.Slice {
		for i := range field.Len() {
			lowerName(field.Index(i))
		}
		return
	}
	field.SetString(dns.CanonicalName(field.String()))
}
