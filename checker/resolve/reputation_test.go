package resolve

import "testing"

// An address that never answers is left alone after a few questions, and asked again when it has answered once.
func TestSilentAddressesAreLeftAlone(t *testing.T) {
	t.Parallel()
	var r reputation
	for range giveUpAfter {
		if r.leftAlone(gateAddr) {
			t.Error("it is left alone too early")
		}
		r.mute(gateAddr, 1)
	}
	if !r.leftAlone(gateAddr) {
		t.Error("it is not left alone")
	}
	r.answer(gateAddr)
	for range 2 * giveUpAfter {
		r.mute(gateAddr, 1)
	}
	if r.leftAlone(gateAddr) {
		t.Error("it is left alone, and has answered")
	}
}
