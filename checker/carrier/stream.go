package carrier

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// stream carries over TCP or TLS, one query at a time on each connection.
type stream struct {
	dial func(ctx context.Context) (net.Conn, error)
	kept chan kept
}

type kept struct {
	net.Conn
	since time.Time
}

// TCP carries to addr, host:port, in the clear.
func TCP(addr string) Carrier {
	var dialer net.Dialer
	return newStream(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) })
}

// TLS carries to addr. The server has to prove the name in config, by its roots.
func TLS(addr string, config *tls.Config) Carrier {
	config = config.Clone()
	config.NextProtos = []string{protoTLS}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(maxKept)
	dialer := tls.Dialer{Config: config}
	return newStream(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) })
}

func newStream(dial func(context.Context) (net.Conn, error)) *stream {
	return &stream{dial: dial, kept: make(chan kept, maxKept)}
}

// Carry implements Carrier.
func (s *stream) Carry(ctx context.Context, query []byte) ([]byte, error) {
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

// ask uses a connection and keeps it if all went well.
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

// take is a connection that was kept, nil for none.
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

// Close implements Carrier.
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
