package caa

// Ready implements ready.Readiness: a policy is in service.
func (c *CAA) Ready() bool { return c.loader.serving.Load() != nil }
