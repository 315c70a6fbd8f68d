package overlay

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/miekg/dns"
)

// The API of a Kubernetes cluster, as far as the plugin kubernetes uses it: it lists and watches services, endpoint slices,
// namespaces and pods. What the cluster has never changes.

// resource is one kind of a cluster's objects.
type resource struct {
	kind, version string
	objects       []map[string]any
}

// cluster are the resources by their paths. Of each zone it has a service that is an alias inside that zone.
func cluster(worlds []*typeWorld) map[string]resource {
	services := []map[string]any{
		clusterIP("web", "10.96.0.80"), clusterIP("addr", "10.96.0.1"), clusterIP("v6", "fd00::1"), clusterIP("two", "10.96.0.2", "fd00::2"), clusterIP("head", "None"),
		externalName("ext", "www.outside.test"), externalName("gone", "nowhere.outside.test"),
	}
	for _, w := range worlds {
		for _, z := range w.zones {
			services = append(services, externalName("in-"+dns.SplitDomainName(z.truth.apex)[0], "web.default.svc."+z.truth.apex))
		}
	}
	return map[string]resource{
		"/api/v1/namespaces": {"Namespace", "v1", []map[string]any{{"metadata": metadata("", "default", nil)}, {"metadata": metadata("", "other", nil)}}},
		"/api/v1/services":   {"Service", "v1", services},
		"/apis/discovery.k8s.io/v1/endpointslices": {"EndpointSlice", "discovery.k8s.io/v1", []map[string]any{
			{"metadata": metadata("default", "head-1", map[string]string{"kubernetes.io/service-name": "head"}), "addressType": "IPv4", "ports": []any{map[string]any{"name": "http", "protocol": "TCP", "port": 80}},
				"endpoints": []any{map[string]any{"addresses": []string{"10.0.0.1"}}, map[string]any{"addresses": []string{"10.0.0.2"}, "hostname": "named"}}},
		}},
		"/api/v1/pods": {"Pod", "v1", []map[string]any{
			{"metadata": metadata("default", "head-a", nil), "spec": map[string]any{"containers": []any{}}, "status": map[string]any{"phase": "Running", "podIP": "10.0.0.1", "podIPs": []any{map[string]string{"ip": "10.0.0.1"}}}},
		}},
	}
}

// kubernetesTruth is what the plugin makes of these (Kubernetes DNS-Based Service Discovery 1.1.0). It answers a question
// about a port with the service's address.
const kubernetesTruth = "@ SOA ns h 1 1 1 1 1\n" + `dns-version TXT "1.1.0"
web.default.svc A 10.96.0.80
addr.default.svc A 10.96.0.1
_http._tcp.addr.default.svc A 10.96.0.1
v6.default.svc AAAA fd00::1
two.default.svc A 10.96.0.2
two.default.svc AAAA fd00::2
head.default.svc A 10.0.0.1
head.default.svc A 10.0.0.2
10-0-0-1.head.default.svc A 10.0.0.1
named.head.default.svc A 10.0.0.2
ext.default.svc CNAME www.outside.test.
gone.default.svc CNAME nowhere.outside.test.
in-$ID.default.svc CNAME web.default.svc
10-0-0-1.default.pod A 10.0.0.1
`

const kubernetesAbsent = "new nope svc pod default.svc default.pod other.svc nope.default.svc nope.svc nope.addr.default.svc _tcp.addr.default.svc 10-0-0-9.default.pod below.ext.default.svc"

func metadata(namespace, name string, labels map[string]string) map[string]any {
	return map[string]any{"namespace": namespace, "name": name, "uid": namespace + "-" + name, "resourceVersion": "1", "labels": labels}
}

func clusterIP(name string, addresses ...string) map[string]any {
	return map[string]any{"metadata": metadata("default", name, nil), "spec": map[string]any{"type": "ClusterIP", "clusterIP": addresses[0], "clusterIPs": addresses,
		"ports": []any{map[string]any{"name": "http", "protocol": "TCP", "port": 80}}}}
}

func externalName(name, target string) map[string]any {
	return map[string]any{"metadata": metadata("default", name, nil), "spec": map[string]any{"type": "ExternalName", "externalName": target}}
}

// kubernetesAPI starts the API of a cluster, and returns its address.
func kubernetesAPI(t *testing.T, resources map[string]resource) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all, ok := resources[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			encode(w, map[string]any{"kind": all.kind + "List", "apiVersion": all.version, "metadata": map[string]any{"resourceVersion": "1"}, "items": all.objects})
			return
		}
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			for _, o := range all.objects {
				o := withKind(o, all.kind, all.version)
				encode(w, map[string]any{"type": "ADDED", "object": o})
			}
			end := map[string]any{"resourceVersion": "1", "annotations": map[string]string{"k8s.io/initial-events-end": "true"}}
			encode(w, map[string]any{"type": "BOOKMARK", "object": withKind(map[string]any{"metadata": end}, all.kind, all.version)})
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done() // nothing changes
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func encode(w http.ResponseWriter, value any) {
	if err := json.NewEncoder(w).Encode(value); err != nil {
		panic(http.ErrAbortHandler) // who asked has gone
	}
}

// withKind is an object as it is in an event: it says what it is by itself.
func withKind(object map[string]any, kind, version string) map[string]any {
	out := map[string]any{"kind": kind, "apiVersion": version}
	for key, value := range object {
		out[key] = value
	}
	return out
}
