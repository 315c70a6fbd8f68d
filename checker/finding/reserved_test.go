package finding

import (
	"net/netip"
	"testing"

	"github.com/coredns-caa/caa/checker/resolve"
)

// RFC 6890 2.2, and the registries that it made.
func TestReserved(t *testing.T) {
	t.Parallel()
	for want, addrs := range map[bool][]string{
		true: {
			"0.1.2.3", "10.1.1.1", "100.64.0.1", "127.0.0.53", "169.254.1.1", "172.31.0.1", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.168.1.1",
			"198.19.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
			"::", "::1", "::ffff:192.0.2.1", "64:ff9b:1::1", "100::1", "2001:2::1", "2001:db8::1", "3fff::1", "5f00::1", "fd00::1", "fe80::1", "ff02::1",
		},
		false: {
			"1.1.1.1", "9.255.255.255", "100.128.0.1", "172.32.0.1", "192.0.0.9", "192.0.1.1", "192.31.196.1", "192.88.99.1", "192.175.48.1", "198.20.0.1", "223.255.255.1",
			"64:ff9b::1", "2001::1", "2001:1::1", "2001:4:112::1", "2001:20::1", "2001:200::1", "2001:500:2::c", "2002::1", "2606:4700::1", "2620:4f:8000::1",
		},
	} {
		for _, addr := range addrs {
			if got := reserved(netip.MustParseAddr(addr)); got != want {
				t.Errorf("%s: %v", addr, got)
			}
		}
	}
}

// Glue counts where it was not asked, too: a machine without IPv6 sees that of IPv6 in the delegation alone.
func TestReservedGlue(t *testing.T) {
	t.Parallel()
	glue := func(addrs ...string) *Case {
		server := resolve.Server{Name: "ns.example.test."}
		for _, addr := range addrs {
			server.Addrs = append(server.Addrs, netip.MustParseAddr(addr))
		}
		return &Case{Surveys: []Survey{{Zone: &resolve.Zone{Name: "example.test.", Servers: []resolve.Server{server}}}}}
	}
	found := addressReserved(glue("1.1.1.1", "2001:db8::1"))
	if len(found) != 1 || found[0].server != "ns.example.test (2001:db8::1)" {
		t.Errorf("got %+v", found)
	}
	if found := addressReserved(glue("1.1.1.1", "2606:4700::1")); len(found) != 0 {
		t.Errorf("got %+v", found)
	}
}
