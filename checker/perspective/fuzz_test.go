package perspective

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/coredns-caa/caa/checker/mpic"
	"github.com/coredns-caa/caa/checker/quorum"
	"github.com/coredns-caa/caa/plugin/pkg/guard"
)

// Whatever an agent sends, it permits only where it says itself that it looked and that all is well, and
// where what it saw does not say otherwise.
func FuzzAgentsAnswer(f *testing.F) {
	f.Add([]byte(`{"check_type": "caa", "domain_or_ip_target": "a.example", "perspectives": [{"perspective_code": "x", "check_response": {"check_completed": true, "check_passed": true, "details": {"caa_record_present": true, "found_at": "example", "records_seen": ["0 issue \"ca.example\""]}}}]}`))
	f.Add([]byte(`{"check_type": "caa", "domain_or_ip_target": "A.example.", "is_valid": true, "perspectives": [{"check_response": {"check_completed": true, "details": {"records_seen": "0 issue ca.example", "outcome": "at risk"}, "errors": [{}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var response mpic.Response
		if json.Unmarshal(data, &response) != nil {
			return
		}
		r := guard.Requirement{Name: "a.example.", Domain: "ca.example"}
		check, err := agent{}.pick(&response, r)
		if err != nil {
			return
		}
		if s := read(check, r, time.Unix(1795000000, 0)); s.View == quorum.Permits && !(check.Completed && check.Passed) || s.Reason == "" {
			t.Errorf("%s: %+v", data, s)
		}
	})
}
