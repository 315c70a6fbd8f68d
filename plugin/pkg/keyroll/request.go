package keyroll

// Verb is what people may ask for.
type Verb uint8

// The verbs.
const (
	RollKey    Verb = iota // replace the key of Role; Urgent: at once, for it is no secret any more
	RetireKey              // give up the key Key, which is not in use yet
	GoInsecure             // have the parent remove its DS, and then sign no more (RFC 8078 4)
	ComeBack               // be secure again, or after all
)

// Request is what people ask for. One that would harm is refused and changes nothing.
type Request struct {
	Verb   Verb
	Role   Role // of RollKey; KSK and CSK are the same
	Urgent bool // of RollKey
	Key    ID   // of RetireKey
}

// obey notes what people ask for.
func (s *step) obey() {
	for _, r := range s.in.Requests {
		switch r.Verb {
		case GoInsecure:
			s.next.Insecure, s.next.AskedKSK, s.next.AskedZSK = true, Never, Never
		case ComeBack:
			s.next.Insecure = false
		case RollKey:
			s.askRoll(r)
		case RetireKey:
			s.askRetire(r.Key)
		}
	}
}

func (s *step) askRoll(r Request) {
	asked, urgency := &s.next.AskedKSK, Planned
	if r.Role == ZSK {
		asked = &s.next.AskedZSK
	}
	if r.Urgent {
		urgency = Urgent
	}
	switch data := s.current(ZSK); {
	case s.next.Insecure:
		s.refuse(Refusal{Code: RollWhileInsecure})
	case r.Role == ZSK && data != nil && data.Role == CSK:
		s.refuse(Refusal{Code: NoSuchKey})
	default:
		*asked = max(*asked, urgency)
	}
}

// askRetire gives up keys that nobody depends on yet: with one of an algorithm that is being introduced,
// all of that algorithm.
func (s *step) askRetire(id ID) {
	k := s.last(func(o *Key) bool { return o.ID == id })
	switch {
	case k == nil:
		s.refuse(Refusal{Code: NoSuchKey, Keys: []ID{id}})
	case k.State == Made:
		s.dismissed[k] = true
	case k.State == Published && s.unnamed(k):
		s.dismissed[k] = true
	case (k.State == Presigned || k.State == Introduced) && s.any(func(o *Key) bool { return inUse(o) && o.Role.has(KSK) }):
		together := func(o *Key) bool { return o.State == k.State && o.ID.Algorithm == id.Algorithm }
		if s.any(func(o *Key) bool { return together(o) && !s.unnamed(o) }) {
			s.refuse(Refusal{Code: KeyNeeded, Keys: []ID{id}})
			return
		}
		for _, o := range s.keys {
			if together(o) {
				s.dismissed[o] = true
			}
		}
	default:
		s.refuse(Refusal{Code: KeyNeeded, Keys: []ID{id}})
	}
}

// unnamed reports whether a key is one that no DS names, for all that the parent says.
func (s *step) unnamed(k *Key) bool {
	return !k.Role.has(KSK) || s.parent.complete && !s.parent.names(k.ID)
}

// dismissed reports whether people gave a key up.
func dismissed(s *step, k *Key) bool { return s.dismissed[k] }
