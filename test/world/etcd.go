package world

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
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
	put(t, clients, values)
	return p
}

// operation is one of a transaction of etcd.
type operation struct {
	Put struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	} `json:"request_put"`
}

// maxOperations is how many a transaction may have by default.
const maxOperations = 128

// put writes keys through etcd's JSON gateway, which needs no client library.
func put(t testing.TB, clients string, values map[string]string) {
	t.Helper()
	var all []operation
	for key, value := range values {
		var o operation
		o.Put.Key, o.Put.Value = []byte(key), []byte(value)
		all = append(all, o)
	}
	for some := range slices.Chunk(all, maxOperations) {
		body, err := json.Marshal(map[string][]operation{"success": some})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(clients+"/v3/kv/txn", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("etcd: %s", answer.Status)
		}
	}
}
