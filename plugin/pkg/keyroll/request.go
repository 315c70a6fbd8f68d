package keyroll

import (
	"slices"
	"time"
)

// This file is about what people ask for. A request is written into the zone, where the next step finds it,
// obeys or refuses it, and writes down which.

// Verb is what people may ask for.
type Verb uint8

// The verbs.
const (
	RollKey    Verb = iota // replace the key of Role; Urgent: at once, for it is no secret any more
	RetireKey              // give up the key Key, which is not in use yet
	GoInsecure             // have the parent remove its DS, and then sign no more (RFC 8078 4)
	ComeBack               // be secure again, or after all
	CallOff                // roll none of the keys whose roll was asked for and has not begun
)

var verbNames = names[Verb]{RollKey: "roll", RetireKey: "retire", GoInsecure: "insecure", ComeBack: "secure", CallOff: "call-off"}

// String is the verb's name.
func (v Verb) String() string { return verbNames.of(v) }

// MarshalText is String.
func (v Verb) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of String.
func (v *Verb) UnmarshalText(text []byte) error { return verbNames.parse(text, v) }

// Request is what people ask for. One that would harm is refused and changes nothing.
type Request struct {
	Verb   Verb      `json:"verb"`
	Role   Role      `json:"role,omitzero"`    // of RollKey; KSK and CSK are the same
	Urgent bool      `json:"urgent,omitempty"` // of RollKey
	Key    ID        `json:"key,omitzero"`     // of RetireKey
	Asked  time.Time `json:"asked"`            // when; no two requests of a zone share it
}

// Answer is what became of a request.
type Answer struct {
	Request
	Time    time.Time `json:"answered"`
	Refused *Refusal  `json:"refused,omitempty"` // nil: it is done, or will be
}

const (
	// requestLife is how old a request may be that is obeyed. An older one may have come with a backup, and
	// was perhaps obeyed long ago; no official reference.
	requestLife = time.Hour
	// maxRequests bounds what may wait for a server: nobody asks for more in a moment.
	maxRequests = 16
	// keptAnswers is how many are kept for people to read.
	keptAnswers = 8
)

// Ask returns the zone with one request more for the next step to obey, and the request as it was written. A
// request that no step would obey is refused, and the zone is as it was. The zone has been served.
func (z Zone) Ask(r Request, now time.Time) (Zone, Request, *Refusal) {
	r.Asked = now
	earlier := slices.Clone(z.Requests)
	for _, answer := range z.Answers {
		earlier = append(earlier, answer.Request)
	}
	for _, e := range earlier {
		if !r.Asked.After(e.Asked) {
			r.Asked = e.Asked.Add(1)
		}
	}
	if len(z.Requests) >= maxRequests {
		return z, r, &Refusal{Code: TooManyRequests}
	}
	asked := z
	asked.Requests = append(slices.Clone(z.Requests), r)
	// As far as can be known here: the parent is taken to have no objections.
	s := &step{m: &standard, in: &Input{Now: r.Asked}, next: asked, parent: parent{complete: true}, dismissed: map[*Key]bool{}}
	for i := range asked.Keys {
		s.keys = append(s.keys, &asked.Keys[i])
	}
	s.obey()
	if refusal := s.next.Answers[len(s.next.Answers)-1].Refused; refusal != nil {
		return z, r, refusal
	}
	return asked, r, nil
}

// TakeBack returns the zone without the requests that no step has seen, and those.
func (z Zone) TakeBack() (Zone, []Request) {
	taken := z.Requests
	z.Requests = nil
	return z, taken
}

// obey does what people ask for, and notes the answers.
func (s *step) obey() {
	for _, r := range s.next.Requests {
		refused := s.refusal(r)
		s.answer(r, refused)
		if refused != nil {
			s.refuse(*refused)
		}
	}
	s.next.Requests = nil
}

// answer notes what becomes of a request, for whoever asked.
func (s *step) answer(r Request, refused *Refusal) {
	answers := append(slices.Clone(s.next.Answers), Answer{r, s.in.Now, refused})
	s.next.Answers = answers[max(0, len(answers)-keptAnswers):]
}

// refusal obeys a request, or says why not.
func (s *step) refusal(r Request) *Refusal {
	if s.in.Now.Sub(r.Asked) > requestLife {
		return &Refusal{Code: StaleRequest}
	}
	switch r.Verb {
	case GoInsecure:
		s.next.Insecure, s.next.AskedKSK, s.next.AskedZSK = true, Never, Never
	case ComeBack:
		s.next.Insecure = false
	case CallOff:
		s.next.AskedKSK, s.next.AskedZSK = Never, Never
	case RollKey:
		return s.askRoll(r)
	case RetireKey:
		return s.askRetire(r.Key)
	}
	return nil
}

func (s *step) askRoll(r Request) *Refusal {
	asked, urgency := &s.next.AskedKSK, Planned
	if r.Role == ZSK {
		asked = &s.next.AskedZSK
	}
	if r.Urgent {
		urgency = Urgent
	}
	switch data := s.current(ZSK); {
	case s.next.Insecure:
		return &Refusal{Code: RollWhileInsecure}
	case r.Role == ZSK && data != nil && data.Role == CSK:
		return &Refusal{Code: NoSuchKey}
	}
	*asked = max(*asked, urgency)
	return nil
}

// askRetire gives up keys that nobody depends on yet: with one of an algorithm that is being introduced,
// all of that algorithm.
func (s *step) askRetire(id ID) *Refusal {
	k := s.last(func(o *Key) bool { return o.ID == id })
	if k == nil {
		return &Refusal{Code: NoSuchKey, Keys: []ID{id}}
	}
	given := []*Key{k}
	switch {
	case k.State == Made:
		s.dismissed[k] = true
		return nil
	case k.State == Retiring || k.State == Yielding || k.State == Postsigned || k.State == Removed:
		return &Refusal{Code: LeavesAlready, Keys: []ID{id}}
	case k.State == Published:
	case (k.State == Presigned || k.State == Introduced) && s.any(func(o *Key) bool { return inUse(o) && o.Role.has(KSK) }):
		given = slices.DeleteFunc(slices.Clone(s.keys), func(o *Key) bool { return o.State != k.State || o.ID.Algorithm != id.Algorithm })
	default:
		return &Refusal{Code: KeyNeeded, Keys: []ID{id}}
	}
	for _, o := range given {
		switch {
		case !o.Role.has(KSK):
		case s.parent.names(o.ID):
			return &Refusal{Code: KeyNeeded, Keys: []ID{id}}
		case !s.parent.complete:
			return &Refusal{Code: ParentUnknown, Keys: []ID{id}}
		}
	}
	for _, o := range given {
		s.dismissed[o] = true
	}
	return nil
}

// dismissed reports whether people gave a key up.
func dismissed(s *step, k *Key) bool { return s.dismissed[k] }
