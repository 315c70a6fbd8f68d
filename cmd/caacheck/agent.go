package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/coredns-caa/caa/checker/agent"
	"github.com/coredns-caa/caa/checker/check"
	"github.com/coredns-caa/caa/checker/climb"
	"github.com/coredns-caa/caa/checker/perspective"
	"github.com/coredns-caa/caa/plugin/pkg/terminal"
)

// agentOptions are those of caacheck agent.
type agentOptions struct {
	options
	listen, cert, key, token, code string
	checks                         int
}

// agentCommand is caacheck agent.
func agentCommand(f *flags) action {
	o := &agentOptions{checks: agent.DefaultConcurrency}
	fs := f.group(service)
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8443", "listen on `ADDRESS`")
	fs.StringVar(&o.token, "token", "", "the secret that clients must present, the only line of `FILE`")
	fs.StringVar(&o.cert, "cert", "", "the server certificate, PEM `FILE`; read again when it changes")
	fs.StringVar(&o.key, "key", "", "its private key, PEM `FILE`")
	fs.StringVar(&o.code, "code", "", "the name of this perspective, `NAME`; by default the machine's")
	count(fs, &o.checks, 1, noLimit, "checks", fmt.Sprint(agent.DefaultConcurrency), "checks at a time")
	o.issuerFlag(fs, "the Issuer Domain Name of the CA for requests that give none; may be repeated")
	o.askFlags(f)
	return o.serve
}

// serve answers requests until ctx ends.
func (o *agentOptions) serve(ctx context.Context, _ []string, std stdio) (int, error) {
	if o.token == "" || o.cert == "" || o.key == "" {
		return 0, errors.New("caacheck agent needs --token FILE, --cert FILE and --key FILE: it and its clients authenticate each other")
	}
	world, err := o.world()
	if err != nil {
		return 0, err
	}
	session, err := check.Prepare(ctx, check.Plan{World: world})
	if err != nil {
		return 0, err
	}
	defer session.Close()
	secret, err := perspective.ReadToken(o.token)
	if err != nil {
		return 0, err
	}
	certificate, err := agent.LoadCertificate(o.cert, o.key)
	if err != nil {
		return 0, err
	}
	if o.code == "" {
		if o.code, err = os.Hostname(); err != nil {
			return 0, fmt.Errorf("cannot determine the machine's name, write --code NAME: %w", err)
		}
	}
	handler, err := agent.New(agent.Config{
		Code: o.code, Token: secret, Domains: o.issuers, Concurrency: o.checks,
		Looker: func() climb.Looker { return session.Resolver().Unused() },
		Log:    logTo(std.err),
	})
	if err != nil {
		return 0, err
	}
	for _, note := range session.Notes() {
		fmt.Fprintln(std.err, terminal.Clean(note))
	}
	server := &http.Server{
		Handler: handler, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.Get},
		WriteTimeout: agent.DefaultLimit + answerTime,
	}
	return serve(ctx, std, server, o.listen)
}
