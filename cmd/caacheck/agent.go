package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coredns-caa/caa/checker/agent"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/checker/resolve"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// offer is `caacheck agent`: it answers until ctx ends.
func offer(ctx context.Context, args []string, std stdio) (int, error) {
	var o options
	var listen, cert, key, token, code string
	checks := agent.DefaultConcurrency
	fs := newFlags(&o.json)
	o.worldFlags(fs)
	fs.StringVar(&listen, "listen", "127.0.0.1:8443", "")
	fs.StringVar(&cert, "cert", "", "")
	fs.StringVar(&key, "key", "", "")
	fs.StringVar(&token, "token", "", "")
	fs.StringVar(&code, "code", "", "")
	fs.IntVar(&checks, "checks", checks, "")
	fs.Func("issuer", "", o.addIssuer)
	rest, err := parse(fs, args)
	switch {
	case err != nil:
		return 0, err
	case len(rest) > 0 || o.json:
		return 0, fmt.Errorf("caacheck agent takes no names, and no --json; caacheck --help lists its flags")
	case token == "" || cert == "" || key == "":
		return 0, fmt.Errorf("caacheck agent needs --token FILE, --cert FILE and --key FILE: who asks has to be known, and has to know whom it asks")
	case checks < 1:
		return 0, fmt.Errorf("--checks is one or more")
	}
	cfg, notes, err := o.config(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := resolve.New(cfg); err != nil {
		return 0, err
	}
	secret, err := perspective.ReadToken(token)
	if err != nil {
		return 0, err
	}
	certificate, err := agent.LoadCertificate(cert, key)
	if err != nil {
		return 0, err
	}
	if code == "" {
		if code, err = os.Hostname(); err != nil {
			return 0, fmt.Errorf("this machine has no name: give --code NAME: %w", err)
		}
	}
	handler, err := agent.New(agent.Config{
		Code: code, Token: secret, Domains: o.issuers, Concurrency: checks,
		Looker: func() climb.Looker { r, _ := resolve.New(cfg); return r }, // cfg was tried above
		Log:    logTo(std.err),
	})
	if err != nil {
		return 0, err
	}
	for _, note := range notes {
		fmt.Fprintln(std.err, terminal.Clean(note))
	}
	server := &http.Server{
		Handler: handler, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.Get},
		WriteTimeout: agent.DefaultLimit + answerTime,
	}
	return serve(ctx, std, server, listen)
}

// Limits of our HTTP servers, beside those of what they serve.
const (
	headerTime  = 5 * time.Second  // for a request's header
	requestTime = 10 * time.Second // for all of a request: bodies are small
	answerTime  = 10 * time.Second // for writing an answer, after it was made
	idleTime    = time.Minute      // between requests of one connection
	maxHeader   = 16 << 10         // octets
)

// serve runs a server until ctx ends, and tells where it listens: with TLS where it has a certificate.
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
	scheme, run := "http", server.Serve
	if server.TLSConfig != nil {
		scheme, run = "https", func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	fmt.Fprintf(std.err, "caacheck: listening on %s://%s\n", scheme, l.Addr())
	if err := run(l); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return 0, err
	}
	<-done
	return report.ExitFine, nil
}
