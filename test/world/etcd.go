package world

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
)

// Etcd starts an etcd of one member that holds these keys. Its address is that for clients.
func Etcd(t testing.TB, values map[string]string) *Process {
	t.Helper()
	program := Program(t, "etcd")
	dir, addr := t.TempDir(), FreeAddr(t)
	clients, peers := "http://"+addr.String(), "http://"+FreeAddr(t).String()
	p := start(t, addr, dir, "ready to serve client requests", program, "--data-dir", dir,
		"--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers)
	for key, value := range values {
		put(t, clients, key, value)
	}
	return p
}

// put writes one key through etcd's JSON gateway, which needs no client library.
func put(t testing.TB, clients, key, value string) {
	t.Helper()
	body, err := json.Marshal(map[string][]byte{"key": []byte(key), "value": []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(clients+"/v3/kv/put", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("etcd: %s", answer.Status)
	}
}
