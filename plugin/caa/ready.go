package caa

// Ready implements ready.Readiness: a policy is in service and, once since the start, the self-check
// has found every required issuance possible in what is served. Later findings do not take it back:
// an answer that locks out one issuer is better than none for all.
func (c *CAA) Ready() bool { return c.ready.Load() }
