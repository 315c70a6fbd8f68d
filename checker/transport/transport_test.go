package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/coredns-caa/caa/checker/transport"
	"github.com/coredns-caa/caa/test/world"
)

// echo is a server that answers a query with its own octets. It ends a connection after so many
// answers, and counts connections.
type echo struct {
	perConnection int
	connections   atomic.Int32
	ids           chan uint16   // as they arrived
	silent        chan struct{} // no answer until it is closed; nil for none
}

func (e *echo) answer(query []byte) []byte {
	e.ids <- binary.BigEndian.Uint16(query)
	if e.silent != nil {
		<-e.silent
	}
	return query
}

// framed serves one stream.
func (e *echo) framed(rw io.ReadWriteCloser, answers int) {
	defer rw.Close()
	for range answers {
		var length [2]byte
		if _, err := io.ReadFull(rw, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(rw, query); err != nil {
			return
		}
		if _, err := rw.Write(append(length[:], e.answer(query)...)); err != nil {
			return
		}
	}
}

func (e *echo) listen(t *testing.T, wrap func(net.Listener) net.Listener) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l = wrap(l)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			e.connections.Add(1)
			go e.framed(conn, e.perConnection)
		}
	}()
	return addr
}

func (e *echo) listenQUIC(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"doq"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			e.connections.Add(1)
			go func() {
				for range e.perConnection {
					stream, err := conn.AcceptStream(context.Background())
					if err != nil {
						return
					}
					e.framed(stream, 1)
				}
				_, _ = conn.AcceptStream(context.Background()) // else the last answer would be lost with it
				_ = conn.CloseWithError(0, "")
			}()
		}
	}()
	return l.Addr().String()
}

func (e *echo) listenHTTPS(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/dns-message" || r.URL.Path != "/dns-query" {
			t.Errorf("asked by %s %s with %v", r.Method, r.URL, r.Header)
		}
		query, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write(e.answer(query))
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			e.connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

type dialer struct {
	name   string
	listen func(*testing.T, *echo, tls.Certificate) string
	dial   func(addr string, c *tls.Config) transport.Transport
	zeroID bool
	limits bool // the server can end a connection after so many answers
}

var transports = []dialer{
	{"TCP", func(t *testing.T, e *echo, _ tls.Certificate) string {
		return e.listen(t, func(l net.Listener) net.Listener { return l })
	}, func(addr string, _ *tls.Config) transport.Transport { return transport.TCP(addr) }, false, true},
	{"TLS", func(t *testing.T, e *echo, c tls.Certificate) string {
		return e.listen(t, func(l net.Listener) net.Listener {
			return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"dot"}})
		})
	}, transport.TLS, false, true},
	{"HTTPS", func(t *testing.T, e *echo, c tls.Certificate) string { return e.listenHTTPS(t, c) },
		func(addr string, c *tls.Config) transport.Transport {
			return transport.HTTPS("https://"+addr+"/dns-query", c)
		}, true, false},
	{"QUIC", func(t *testing.T, e *echo, c tls.Certificate) string { return e.listenQUIC(t, c) }, transport.QUIC, true, true},
}

func start(t *testing.T, tr dialer, e *echo) (transport.Transport, string) {
	t.Helper()
	pem := world.NewCertificate(t)
	cert, err := tls.X509KeyPair([]byte(pem.Cert), []byte(pem.Key))
	if err != nil {
		t.Fatal(err)
	}
	e.ids = make(chan uint16, 100)
	addr := tr.listen(t, e, cert)
	c := tr.dial(addr, &tls.Config{RootCAs: pem.Pool, ServerName: "127.0.0.1"})
	t.Cleanup(c.Close)
	return c, addr
}

func carry(t *testing.T, c transport.Transport, query []byte) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel() // ends no connection that is kept
	return c.Exchange(ctx, query)
}

// Queries come to the server and answers back, over one connection where they follow each other.
func TestCarry(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			e := &echo{perConnection: 100}
			c, _ := start(t, tr, e)
			for _, size := range []int{2, 12, 512, 4000} {
				query := append([]byte{0xAB, 0xCD}, bytes.Repeat([]byte{7}, size-2)...)
				answer, err := carry(t, c, query)
				if err != nil || !bytes.Equal(answer, query) {
					t.Fatalf("%d octets: %d came back, %v", size, len(answer), err)
				}
				want := uint16(0xABCD)
				if tr.zeroID {
					want = 0
				}
				if id := <-e.ids; id != want {
					t.Errorf("the server saw the ID %#x, want %#x", id, want)
				}
			}
			if n := e.connections.Load(); n != 1 {
				t.Errorf("%d connections for queries that follow each other", n)
			}
		})
	}
}

// A server that ends its connections costs no answer.
func TestServerEndsConnections(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		if !tr.limits {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			e := &echo{perConnection: 1}
			c, _ := start(t, tr, e)
			for i := range 5 {
				if _, err := carry(t, c, []byte{1, byte(i)}); err != nil {
					t.Fatal(err)
				}
			}
			if n := e.connections.Load(); n < 2 {
				t.Errorf("%d connections; the server ends them after one answer", n)
			}
		})
	}
}

// A server without a certificate that we trust gets no query.
func TestUntrustedServer(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		if tr.name == "TCP" {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			e := &echo{perConnection: 1}
			_, addr := start(t, tr, e)
			other := world.NewCertificate(t)
			c := tr.dial(addr, &tls.Config{RootCAs: other.Pool, ServerName: "127.0.0.1"})
			t.Cleanup(c.Close)
			if answer, err := carry(t, c, []byte{1, 2}); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("got %v, %v", answer, err)
			}
			if len(e.ids) > 0 {
				t.Error("the query was sent")
			}
		})
	}
}

// Silence ends with the caller's time.
func TestSilence(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			e := &echo{perConnection: 100, silent: make(chan struct{})}
			c, _ := start(t, tr, e)
			t.Cleanup(func() { close(e.silent) })
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if answer, err := c.Exchange(ctx, []byte{1, 2}); err == nil {
				t.Errorf("got %v of a silent server", answer)
			}
		})
	}
}
