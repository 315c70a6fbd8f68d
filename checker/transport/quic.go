package transport

import (
	"context"
	"crypto/tls"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// doq is DNS over QUIC: one connection, a stream for each query.
type doq struct {
	addr   string
	config *tls.Config

	mu   sync.Mutex
	conn *quic.Conn
}

// QUIC returns the transport to addr, host:port.
func QUIC(addr string, config *tls.Config) Transport {
	config = config.Clone()
	config.NextProtos = []string{protoQUIC}
	return &doq{addr: addr, config: config}
}

// errNone is DOQ_NO_ERROR (RFC 9250 4.3).
const errNone = 0

// Exchange implements Transport.
func (d *doq) Exchange(ctx context.Context, query []byte) ([]byte, error) {
	return withoutID(query, func(query []byte) ([]byte, error) {
		conn, fresh, err := d.connection(ctx, nil)
		if err != nil {
			return nil, err
		}
		answer, err := ask(ctx, conn, query)
		if err == nil || fresh || ctx.Err() != nil {
			return answer, err
		}
		if conn, _, err = d.connection(ctx, conn); err != nil {
			return nil, err
		}
		return ask(ctx, conn, query)
	})
}

// connection returns the kept one, unless it is the broken one or has ended; otherwise a new one.
func (d *doq) connection(ctx context.Context, broken *quic.Conn) (conn *quic.Conn, fresh bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil && d.conn != broken && d.conn.Context().Err() == nil {
		return d.conn, false, nil
	}
	d.conn, err = quic.DialAddr(ctx, d.addr, d.config, &quic.Config{MaxIdleTimeout: idle})
	if err != nil {
		d.conn = nil
		return nil, false, err
	}
	return d.conn, true, nil
}

func ask(ctx context.Context, conn *quic.Conn, query []byte) ([]byte, error) {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.CancelRead(errNone)
	defer context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })()
	if err := writeFramed(stream, query); err != nil {
		return nil, err
	}
	if err := stream.Close(); err != nil { // the query ends here (RFC 9250 4.2)
		return nil, err
	}
	return readFramed(io.LimitReader(stream, 2+65535))
}

// Close implements Transport.
func (d *doq) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.CloseWithError(errNone, "")
		d.conn = nil
	}
}
