package resolve

import "testing"

// An address that never answers is left alone after a few questions, and one that has answered after many in a row.
func TestSilentAddressesAreLeftAlone(t *testing.T) {
	t.Parallel()
	var r reputation
	for range giveUpAfter {
		if r.conduct(gateAddr, "").leftAlone() {
			t.Error("it is left alone too early")
		}
		r.mute(gateAddr, UDP, 1)
	}
	if !r.conduct(gateAddr, "").leftAlone() {
		t.Error("it is not left alone")
	}
	r.answer(gateAddr, UDP)
	for range 2 * giveUpAfter {
		r.mute(gateAddr, UDP, 1)
	}
	if r.conduct(gateAddr, "").leftAlone() {
		t.Error("it is left alone, and has answered")
	}
	r.answer(gateAddr, UDP)
	for range fallenSilent {
		if r.conduct(gateAddr, "").leftAlone() {
			t.Error("it is left alone too early, and has answered")
		}
		r.mute(gateAddr, UDP, 1)
	}
	if !r.conduct(gateAddr, "").leftAlone() {
		t.Error("it is not left alone, and has fallen silent")
	}
	r.answer(gateAddr, UDP)
	if r.conduct(gateAddr, "").leftAlone() {
		t.Error("it is left alone, and answers again")
	}
}

// A resolver leaves questions without an answer when others leave its own, and says nothing of itself by that.
func TestResolversAreNotLeftAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ recursive, answered, want bool }{{false, true, true}, {true, true, false}, {true, false, true}} {
		r := &Resolver{cfg: Config{Recursive: tt.recursive}, known: new(reputation)}
		if tt.answered {
			r.known.answer(gateAddr, UDP)
		}
		r.known.mute(gateAddr, UDP, fallenSilent)
		if o := (Observation{Addr: gateAddr, Transport: UDP}); r.skips(&o) != tt.want || (o.Failure == Unreachable) != tt.want {
			t.Errorf("%+v: got %q", tt, o.Failure)
		}
	}
}

// A transport by which an address never answers is left alone by itself.
func TestSilentTransportsAreLeftAlone(t *testing.T) {
	t.Parallel()
	r := &Resolver{known: new(reputation)}
	r.known.answer(gateAddr, UDP)
	r.known.mute(gateAddr, TCP, giveUpAfter)
	for transport, want := range map[Transport]bool{UDP: false, TCP: true} {
		if o := (Observation{Addr: gateAddr, Transport: transport}); r.skips(&o) != want {
			t.Errorf("%s: left alone: %t", transport, !want)
		}
	}
}
