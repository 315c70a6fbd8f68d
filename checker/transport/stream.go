package transport

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// stream is DNS over TCP or TLS, one query at a time on each connection.
type stream struct {
	dial func(ctx context.Context) (net.Conn, error)
	kept chan kept
}

type kept struct {
	net.Conn
	since time.Time
}

// TCP returns the transport to addr, host:port, unencrypted.
func TCP(addr string) Transport {
	var dialer net.Dialer
	return newStream(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) })
}

// TLS returns the transport to addr. The server is authenticated by the name and the roots in config.
func TLS(addr string, config *tls.Config) Transport {
	config = config.Clone()
	config.NextProtos = []string{protoTLS}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(maxKept)
	dialer := tls.Dialer{Config: config}
	return newStream(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) })
}

func newStream(dial func(context.Context) (net.Conn, error)) *stream {
	return &stream{dial: dial, kept: make(chan kept, maxKept)}
}

// Exchange implements Transport.
func (s *stream) Exchange(ctx context.Context, query []byte) ([]byte, error) {
	if conn := s.take(); conn != nil {
		if answer, err := s.ask(ctx, conn, query); err == nil || ctx.Err() != nil {
			return answer, err
		}
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	return s.ask(ctx, conn, query)
}

// ask uses a connection, and keeps it unless something failed.
func (s *stream) ask(ctx context.Context, conn net.Conn, query []byte) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := writeFramed(conn, query)
	var answer []byte
	if err == nil {
		answer, err = readFramed(conn)
	}
	if !stop() || err != nil {
		conn.Close()
		return answer, err
	}
	select {
	case s.kept <- kept{conn, time.Now()}:
	default:
		conn.Close()
	}
	return answer, nil
}

// take returns a kept connection; nil if there is none.
func (s *stream) take() net.Conn {
	for {
		select {
		case k := <-s.kept:
			if time.Since(k.since) < idle {
				return k.Conn
			}
			k.Close()
		default:
			return nil
		}
	}
}

// Close implements Transport.
func (s *stream) Close() {
	for {
		select {
		case k := <-s.kept:
			k.Close()
		default:
			return
		}
	}
}
