package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coredns-caa/caa/checker/report"
	"github.com/coredns-caa/caa/test/world"
)

// started is a command that serves, with the URL where it does; it ends with the test, and by itself
// only with what its context's end means, exit status 0.
func started(t *testing.T, args ...string) (url string) {
	t.Helper()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, args, stdio{in: strings.NewReader(""), out: io.Discard, err: w})
		w.Close()
	}()
	lines := make(chan string, 1)
	go func() {
		var text bytes.Buffer
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			text.Write(buf[:n])
			if _, addr, ok := strings.Cut(text.String(), "listening on "); ok && strings.Contains(addr, "\n") || err != nil {
				addr, _, _ = strings.Cut(addr, "\n")
				select {
				case lines <- addr:
				default:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != report.ExitFine {
			t.Errorf("it ended with %d", code)
		}
	})
	if url = <-lines; url == "" {
		t.Fatal("it did not start")
	}
	return url
}

// agentIn starts an agent whose token and certificate are in a folder, as token and cert.pem.
func agentIn(t *testing.T, dir string, flags ...string) (url string, trusted *x509.CertPool) {
	t.Helper()
	cert := world.NewCertificate(t)
	for file, text := range map[string]string{"cert.pem": cert.Cert, "key.pem": cert.Key, "token": "secret\n"} {
		world.WriteFile(t, filepath.Join(dir, file), text)
	}
	in := func(file string) string { return filepath.Join(dir, file) }
	return started(t, append([]string{"agent", "--listen", "127.0.0.1:0", "--code", "here", "--token", in("token"), "--cert", in("cert.pem"), "--key", in("key.pem"), "--issuer", "letsencrypt.org"}, flags...)...), cert.Pool
}

func TestAgent(t *testing.T) {
	t.Parallel()
	dir, flags := start(t)
	url, trusted := agentIn(t, dir, flags...)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	t.Cleanup(client.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/mpic", strings.NewReader(`{"check_type": "caa", "domain_or_ip_target": "www.example.test"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer secret")
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"check_passed":true`) {
		t.Errorf("%s: %s, %v", response.Status, body, err)
	}

	// The same agent as a perspective of caacheck: far from five.
	file := filepath.Join(dir, "perspectives.yaml")
	world.WriteFile(t, file, fmt.Sprintf(`version: 1
perspectives:
  - {name: self, kind: self, region: RIPE, coordinates: [50, 9]}
  - {name: other, kind: agent, address: %q, region: ARIN, coordinates: [40, -83], token: token, ca: cert.pem}
  - {name: near, kind: agent, address: %q, region: ARIN, coordinates: [41, -83], token: token, ca: cert.pem}
`, url, url))
	var out bytes.Buffer
	code := run(t.Context(), append([]string{"www.example.test", "--perspectives", file, "--at", "2026-12-15"}, flags...), stdio{in: strings.NewReader(""), out: &out, err: io.Discard})
	for _, want := range []string{"unknown", "quorum-undetermined", "5 distinct remote perspectives are needed, and there are 1", "undetermined by 1 of 1 remote perspectives, in 1 region, by the rule of 2026-12-15", "near  ARIN  does not count  111 km from other"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if code != report.ExitUnknown {
		t.Errorf("exit status %d", code)
	}
	out.Reset()
	if code = run(t.Context(), append([]string{"www.example.test", "--perspectives", file, "--at", "2026-12-15", "--json"}, flags...), stdio{in: strings.NewReader(""), out: &out, err: io.Discard}); code != report.ExitUnknown {
		t.Errorf("exit status %d", code)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(report.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.MustCompile("schema.json").Validate(value); err != nil {
		t.Error(err)
	}
}

func TestAgentUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert := world.NewCertificate(t)
	for file, text := range map[string]string{"cert": cert.Cert, "key": cert.Key, "token": "secret", "two": "a b", "bad.yaml": "version: 1\nperspectives: [{name: a}]\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ args, want string }{
		{"agent", "needs --token FILE"},
		{"agent www.example.test", "usage: caacheck agent"},
		{"agent --token $D/none --cert $D/cert --key $D/key", "none"},
		{"agent --token $D/two --cert $D/cert --key $D/key", "invalid token in"},
		{"agent --token $D/token --cert $D/token --key $D/key", "PEM"},
		{"agent --token $D/token --cert $D/cert --key $D/key --checks 0", "--checks"},
		{"agent --token $D/token --cert $D/cert --key $D/key --listen 192.0.2.1:0", "192.0.2.1"},
		{"agent --token $D/token --cert $D/cert --key $D/key --root-hints $D/token", "token"},
		{"www.example.test --perspectives $D/none", "none"},
		{"www.example.test --perspectives $D/bad.yaml", "bad.yaml:2:16: the perspective needs the key kind"},
	}
	for _, tt := range tests {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(strings.ReplaceAll(tt.args, "$D", dir)), stdio{in: strings.NewReader(""), out: &out, err: &errs})
		if code != report.ExitUnknown || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
			t.Errorf("caacheck %s: exit status %d, %q, and %q on standard output; want %q", tt.args, code, &errs, &out, tt.want)
		}
	}
}
