// Package transport exchanges DNS messages with a resolver over TCP, TLS, HTTPS or QUIC. It does not parse them; package
// resolve checks that a reply matches its query.
//
// Connections are kept and used again. A query that fails on a kept connection is tried once more on a new one, since a
// server may close a connection at any time.
//
// RFC 7766 (TCP), RFC 7858 and RFC 8310 (TLS), RFC 8484 (HTTPS), RFC 9250 (QUIC).
package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Transport sends queries to one resolver. It is safe for concurrent use.
type Transport interface {
	// Exchange returns the answer to a query, both in wire format, before ctx ends.
	Exchange(ctx context.Context, query []byte) ([]byte, error)
	// Close ends the connections that are kept.
	Close()
}

// The ports of the transports, and the protocols that TLS negotiates.
const (
	PortTCP   = 53
	PortTLS   = 853 // RFC 7858 3.1
	PortQUIC  = 853 // RFC 9250 4.1.1
	protoTLS  = "dot"
	protoQUIC = "doq"
)

// maxKept is how many connections wait for the next query: as many as one resolver is asked at a time.
const maxKept = 4

// idle is how long one is kept at most. Servers close them after 10 to 30 seconds (RFC 7766 6.2.3).
const idle = 8 * time.Second

// writeFramed writes a message with its length before it (RFC 1035 4.2.2).
func writeFramed(w io.Writer, message []byte) error {
	if len(message) > 65535 {
		return fmt.Errorf("a message of %d octets is too long for TCP", len(message))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

func readFramed(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

// withoutID exchanges a query with the ID 0, which DoH recommends for caches and DoQ requires (RFC 8484 4.1, RFC 9250
// 4.2.1), and sets the query's ID in the reply.
func withoutID(query []byte, exchange func([]byte) ([]byte, error)) ([]byte, error) {
	if len(query) < 2 {
		return nil, fmt.Errorf("a query of %d octets is too short", len(query))
	}
	zeroed := append([]byte{0, 0}, query[2:]...)
	answer, err := exchange(zeroed)
	if err != nil {
		return nil, err
	}
	if len(answer) >= 2 && answer[0] == 0 && answer[1] == 0 {
		copy(answer, query[:2])
	}
	return answer, nil
}
