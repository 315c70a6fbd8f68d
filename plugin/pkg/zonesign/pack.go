package zonesign

import (
	"sync"

	"github.com/miekg/dns"
)

// AppendRR appends a record's wire form, uncompressed (RFC 1035 4.1.3). dns.PackRR does so too, but
// notes the length of the RDATA in the record's header: in one that the next plugin hands out to many
// queries at once, that is a race.
func AppendRR(dst []byte, rr dns.RR) ([]byte, error) {
	p := packers.Get().(*packer)
	defer packers.Put(p)
	wire, err := p.pack(rr)
	if err != nil {
		return dst, err
	}
	return append(dst, wire...), nil
}

// packer packs a message of one record.
type packer struct {
	m      dns.Msg
	buffer []byte
}

var packers = sync.Pool{New: func() any {
	return &packer{m: dns.Msg{Answer: make([]dns.RR, 1)}, buffer: make([]byte, 512)}
}}

// pack returns the record's wire form, which lasts until the next one.
func (p *packer) pack(rr dns.RR) ([]byte, error) {
	p.m.Answer[0] = rr
	defer func() { p.m.Answer[0] = nil }()
	wire, err := p.m.PackBuffer(p.buffer)
	if err != nil {
		return nil, err
	}
	p.buffer = wire[:cap(wire)]
	const header = 12 // RFC 1035 4.1.1
	return wire[header:], nil
}
