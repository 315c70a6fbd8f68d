package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/coredns-caa/caa/checker/report"
)

// Limits of our HTTP servers.
const (
	headerTime  = 5 * time.Second  // for a request's header
	requestTime = 10 * time.Second // for all of a request: bodies are small
	answerTime  = 10 * time.Second // for writing an answer, after it was made
	idleTime    = time.Minute      // between requests of one connection
	maxHeader   = 16 << 10         // octets
)

// serve runs a server until ctx ends, and logs its URL: with TLS if it has a certificate.
func serve(ctx context.Context, std stdio, server *http.Server, listen string) (int, error) {
	server.ErrorLog = log.New(cleanWriter{std.err}, "caacheck: ", 0)
	server.ReadHeaderTimeout, server.ReadTimeout, server.IdleTimeout, server.MaxHeaderBytes = headerTime, requestTime, idleTime, maxHeader
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return 0, err
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		closing, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		_ = server.Shutdown(closing)
	})
	scheme, answer := "http", server.Serve
	if server.TLSConfig != nil {
		scheme, answer = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	fmt.Fprintf(std.err, "caacheck: listening on %s://%s\n", scheme, l.Addr())
	if err := answer(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return 0, err
	}
	<-done
	return report.ExitFine, nil
}
