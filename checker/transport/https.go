package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
)

const mediaType = "application/dns-message" // RFC 8484 6

// https sends POST requests.
type https struct {
	url    string
	client *http.Client
}

// HTTPS returns the transport to a URL, such as https://dns.example/dns-query.
func HTTPS(url string, config *tls.Config) Transport {
	transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true, IdleConnTimeout: idle, MaxIdleConnsPerHost: maxKept}
	return &https{url, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Exchange implements Transport.
func (h *https) Exchange(ctx context.Context, query []byte) ([]byte, error) {
	return withoutID(query, func(query []byte) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(query))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", mediaType)
		request.Header.Set("Accept", mediaType)
		response, err := h.client.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != mediaType {
			return nil, fmt.Errorf("%s: HTTP status %s, content type %q", h.url, response.Status, response.Header.Get("Content-Type"))
		}
		return io.ReadAll(io.LimitReader(response.Body, 65535))
	})
}

// Close implements Transport.
func (h *https) Close() { h.client.CloseIdleConnections() }
