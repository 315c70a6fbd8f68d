package quorum

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Places more than 500 km from each other.
var (
	ohio      = Perspective{Name: "ohio", Region: ARIN, Place: Coordinates{39.96, -83.00}}
	oregon    = Perspective{Name: "oregon", Region: ARIN, Place: Coordinates{45.52, -122.68}}
	montreal  = Perspective{Name: "montreal", Region: ARIN, Place: Coordinates{45.50, -73.57}}
	texas     = Perspective{Name: "texas", Region: ARIN, Place: Coordinates{32.78, -96.80}}
	florida   = Perspective{Name: "florida", Region: ARIN, Place: Coordinates{25.76, -80.19}}
	virginia  = Perspective{Name: "virginia", Region: ARIN, Place: Coordinates{38.95, -77.45}} // 477 km from Ohio
	frankfurt = Perspective{Name: "frankfurt", Region: RIPENCC, Place: Coordinates{50.11, 8.68}}
	stockholm = Perspective{Name: "stockholm", Region: RIPENCC, Place: Coordinates{59.33, 18.07}}
	singapore = Perspective{Name: "singapore", Region: APNIC, Place: Coordinates{1.35, 103.82}}
	saoPaulo  = Perspective{Name: "são paulo", Region: LACNIC, Place: Coordinates{-23.55, -46.63}}
	capeTown  = Perspective{Name: "cape town", Region: AFRINIC, Place: Coordinates{-33.92, 18.42}}
	everybody = []Perspective{ohio, oregon, montreal, texas, florida, frankfurt, stockholm, singapore, saoPaulo, capeTown}
)

func seeing(v View, all ...Perspective) []Perspective {
	out := slices.Clone(all)
	for i := range out {
		out[i].View = v
	}
	return out
}

func permits(all ...Perspective) []Perspective { return seeing(Permits, all...) }
func denies(all ...Perspective) []Perspective  { return seeing(Denies, all...) }
func unknown(all ...Perspective) []Perspective { return seeing(Unknown, all...) }
func disputed(all ...Perspective) []Perspective {
	return seeing(Disputed, all...)
}

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestRuleOfADay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		day      string
		remotes  int
		regions  int
		enforced bool
	}{
		{"2025-03-14", 0, 0, false},
		{"2025-03-15", 2, 0, false},
		{"2025-09-14", 2, 0, false},
		{"2025-09-15", 2, 0, true},
		{"2026-03-14", 2, 0, true},
		{"2026-03-15", 3, 2, true},
		{"2026-06-15", 4, 2, true},
		{"2026-12-14", 4, 2, true},
		{"2026-12-15", 5, 2, true},
		{"2030-01-01", 5, 2, true},
	}
	for _, tt := range tests {
		if r := RuleOf(day(tt.day)); r.Remotes != tt.remotes || r.Regions != tt.regions || r.Enforced != tt.enforced {
			t.Errorf("%s: got %+v, want %+v", tt.day, r, tt)
		}
	}
	if got := len(After(day("2026-06-15"))); got != 1 {
		t.Errorf("after 2026-06-15 come %d rules, want that of 2026-12-15", got)
	}
	if got := After(day("2026-12-15")); got != nil {
		t.Errorf("after the last phase comes %v", got)
	}
}

func TestAllowedNonCorroborations(t *testing.T) { // BR 3.2.2.9, table "Quorum Requirements"
	t.Parallel()
	for remotes, want := range []int{0, 0, 1, 1, 1, 1, 2, 2, 2} {
		if got := Allowed(remotes); got != want {
			t.Errorf("%d remotes: %d, want %d", remotes, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	primary := permits(ohio)[0]
	join := slices.Concat[[]Perspective]
	tests := []struct {
		name    string
		primary Perspective
		remotes []Perspective
		day     string
		want    Outcome
		failed  []Clause
		pivotal []string
	}{
		{"before MPIC the primary alone counts", primary, denies(oregon, frankfurt), "2025-03-14", Corroborated, nil, nil},
		{"2025-03-15: not enforced", primary, denies(oregon, frankfurt), "2025-03-15", Corroborated, nil, nil},
		{"2025-09-15: two remotes, one may not corroborate", primary, join(permits(oregon), denies(frankfurt)), "2025-09-15", Corroborated, nil, []string{"oregon"}},
		{"2025-09-15: two of two do not", primary, denies(oregon, frankfurt), "2025-09-15", NotCorroborated, []Clause{NonCorroborations}, []string{"oregon", "frankfurt"}},
		{"2025-09-15: one region will do", primary, permits(oregon, texas), "2025-09-15", Corroborated, nil, nil},
		{"2025-09-15: one remote is too few", primary, permits(oregon), "2025-09-15", Undetermined, []Clause{EnoughRemotes}, nil},
		{"the primary has to permit", denies(ohio)[0], permits(oregon, texas, frankfurt, singapore, saoPaulo), "2026-12-15", NotCorroborated, []Clause{PrimaryPermits}, []string{"ohio"}},
		{"the primary has to permit, before MPIC, too", denies(ohio)[0], nil, "2025-01-01", NotCorroborated, []Clause{PrimaryPermits}, []string{"ohio"}},
		{"an unknown view of the primary is no lock-out", unknown(ohio)[0], permits(oregon, texas, frankfurt, singapore, saoPaulo), "2026-12-15", Undetermined, []Clause{PrimaryPermits}, []string{"ohio"}},
		{"a primary that CAs would read differently", disputed(ohio)[0], permits(oregon, texas, frankfurt, singapore, saoPaulo), "2026-12-15", Contested, []Clause{PrimaryPermits}, []string{"ohio"}},
		{"2026-03-15: three remotes", primary, permits(oregon, frankfurt, texas), "2026-03-15", Corroborated, nil, []string{"frankfurt"}},
		{"2026-06-15: three are too few", primary, permits(oregon, frankfurt, texas), "2026-06-15", Undetermined, []Clause{EnoughRemotes}, nil},
		{"2026-06-15: four remotes", primary, permits(oregon, frankfurt, texas, singapore), "2026-06-15", Corroborated, nil, nil},
		{"2026-12-15: four are too few", primary, permits(oregon, frankfurt, texas, singapore), "2026-12-15", Undetermined, []Clause{EnoughRemotes}, nil},
		{"2026-12-15: five remotes, one denies", primary, join(permits(oregon, frankfurt, texas, singapore), denies(saoPaulo)), "2026-12-15", Corroborated, nil, []string{"oregon", "frankfurt", "texas", "singapore"}},
		{"2026-12-15: five remotes, two deny", primary, join(permits(oregon, frankfurt, texas), denies(singapore, saoPaulo)), "2026-12-15", NotCorroborated, []Clause{NonCorroborations}, []string{"singapore", "saoPaulo"}},
		{"2026-12-15: six remotes, two deny", primary, join(permits(oregon, frankfurt, texas, capeTown), denies(singapore, saoPaulo)), "2026-12-15", Corroborated, nil, []string{"oregon", "frankfurt", "texas", "capeTown"}},
		{"2026-12-15: six remotes, three deny", primary, join(permits(oregon, frankfurt, texas), denies(singapore, saoPaulo, capeTown)), "2026-12-15", NotCorroborated, []Clause{NonCorroborations}, []string{"singapore", "saoPaulo", "capeTown"}},
		{"a denial that the missing remotes could outvote", primary, denies(oregon), "2026-12-15", Undetermined, []Clause{EnoughRemotes, EnoughRegions}, nil},
		{"regions that the missing remotes could bring", primary, join(permits(oregon), denies(frankfurt)), "2026-03-15", Undetermined, []Clause{EnoughRemotes, EnoughRegions}, nil},
		{"a denial that too few remotes cannot outvote", primary, denies(oregon, frankfurt), "2026-12-15", NotCorroborated, []Clause{EnoughRemotes, NonCorroborations, EnoughRegions}, nil},
		{"2026-03-15: those that corroborate are in one region", primary, join(permits(oregon, texas, florida), denies(frankfurt)), "2026-03-15", NotCorroborated, []Clause{EnoughRegions}, []string{"frankfurt"}},
		{"2026-03-15: the primary's region does not count", permits(frankfurt)[0], permits(oregon, texas, florida), "2026-03-15", Undetermined, []Clause{EnoughRegions}, nil},
		{"a silent remote, within what is allowed", primary, join(permits(oregon, frankfurt, texas, singapore), unknown(saoPaulo)), "2026-12-15", Corroborated, nil, []string{"oregon", "frankfurt", "texas", "singapore"}},
		{"a silent remote, beyond it", primary, join(permits(oregon, frankfurt, texas), denies(singapore), unknown(saoPaulo)), "2026-12-15", Undetermined, []Clause{NonCorroborations}, []string{"singapore", "saoPaulo"}},
		{"all silent", primary, unknown(oregon, frankfurt, texas, singapore, saoPaulo), "2026-12-15", Undetermined, []Clause{NonCorroborations, EnoughRegions}, nil},
		{"two denials and a silent one", primary, join(permits(oregon, frankfurt), denies(texas, singapore), unknown(saoPaulo)), "2026-12-15", NotCorroborated, []Clause{NonCorroborations}, nil},
		{"two that CAs would read differently", primary, join(permits(oregon, frankfurt, texas), disputed(singapore, saoPaulo)), "2026-12-15", Contested, []Clause{NonCorroborations}, []string{"singapore", "saoPaulo"}},
		{"one of those, and a silent one", primary, join(permits(oregon, frankfurt, texas), disputed(singapore), unknown(saoPaulo)), "2026-12-15", Undetermined, []Clause{NonCorroborations}, []string{"singapore", "saoPaulo"}},
		{"within 500 km of the primary is not remote", primary, permits(virginia, oregon, frankfurt, texas, singapore), "2026-12-15", Undetermined, []Clause{EnoughRemotes}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := Judge(tt.primary, tt.remotes, RuleOf(day(tt.day)))
			for i, name := range tt.pivotal {
				tt.pivotal[i] = map[string]string{"saoPaulo": "são paulo", "capeTown": "cape town"}[name]
				if tt.pivotal[i] == "" {
					tt.pivotal[i] = name
				}
			}
			if got.Outcome != tt.want || !slices.Equal(got.Failed, tt.failed) || !slices.Equal(got.Pivotal, tt.pivotal) {
				t.Errorf("got %v, failed %v, pivotal %q\nwant %v, failed %v, pivotal %q", got.Outcome, got.Failed, got.Pivotal, tt.want, tt.failed, tt.pivotal)
			}
		})
	}
}

func TestNotDistinct(t *testing.T) { // BR 3.2.2.9: 500 km
	t.Parallel()
	primary := permits(frankfurt)[0]
	got := Judge(primary, permits(ohio, virginia, oregon), RuleOf(day("2025-09-15")))
	if len(got.NotDistinct) != 1 || got.NotDistinct[0].Name != "virginia" || got.NotDistinct[0].To != "ohio" || math.Abs(got.NotDistinct[0].Km-490) > 20 {
		t.Errorf("got %+v", got.NotDistinct)
	}
	if want := []string{"ohio", "oregon"}; !slices.Equal(got.Corroborating, want) {
		t.Errorf("counted were %q, want %q", got.Corroborating, want)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b Coordinates
		km   float64
	}{
		{Coordinates{0, 0}, Coordinates{0, 0}, 0},
		{Coordinates{0, 0}, Coordinates{0, 180}, 2 * earthRadius},
		{Coordinates{90, 0}, Coordinates{-90, 77}, 2 * earthRadius},
		{Coordinates{0, 179}, Coordinates{0, -179}, 222.4}, // across the date line
		{Coordinates{48.8566, 2.3522}, Coordinates{51.5074, -0.1278}, 343.5},
		{frankfurt.Place, singapore.Place, 9240}, // 10,260 along the surface
	}
	for _, tt := range tests {
		if got := tt.a.Distance(tt.b); math.Abs(got-tt.km) > tt.km/100+0.001 {
			t.Errorf("from %v to %v: %.1f km, want %.1f", tt.a, tt.b, got, tt.km)
		}
	}
	for _, c := range []Coordinates{{91, 0}, {0, 181}, {math.NaN(), 0}, {0, math.Inf(-1)}} {
		if c.Valid() == nil {
			t.Errorf("%v is valid", c)
		}
	}
}

func TestLater(t *testing.T) {
	t.Parallel()
	got := Later(permits(ohio)[0], permits(oregon, frankfurt, texas, singapore), day("2026-11-25"))
	if len(got) != 1 || got[0].Rule.From != day("2026-12-15") || got[0].Outcome != Undetermined || !slices.Equal(got[0].Failed, []Clause{EnoughRemotes}) {
		t.Errorf("got %+v", got)
	}
	if got := Later(permits(ohio)[0], permits(everybody[1:]...), day("2025-01-01")); len(got) != 0 {
		t.Errorf("nothing changes, yet: %+v", got)
	}
}

// scene is a random set of perspectives, some of them near each other, under a random rule.
type scene struct {
	primary Perspective
	remotes []Perspective
	rule    Rule
}

func random(r *rand.Rand) scene {
	perspective := func(i int) Perspective {
		p := everybody[r.IntN(len(everybody))] // twice the same place is not distinct
		p.Name = fmt.Sprint(i)
		p.View = []View{Permits, Permits, Permits, Denies, Unknown, Disputed}[r.IntN(6)]
		return p
	}
	s := scene{primary: perspective(0), rule: RuleOf(day("2025-01-01").AddDate(0, r.IntN(26), 0))}
	for i := range r.IntN(9) {
		s.remotes = append(s.remotes, perspective(i+1))
	}
	return s
}

func each(t *testing.T, check func(t *testing.T, r *rand.Rand, s scene)) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 229))
	for range 1000 {
		check(t, r, random(r))
		if t.Failed() {
			return
		}
	}
}

func (s scene) judge() Result { return Judge(s.primary, s.remotes, s.rule) }

// One that corroborates never takes a corroboration away, wherever it stands.
func TestAddingACorroborationNeverLoses(t *testing.T) {
	each(t, func(t *testing.T, r *rand.Rand, s scene) {
		before := s.judge()
		more := permits(everybody[r.IntN(len(everybody))])[0]
		more.Name = "more"
		s.remotes = append(s.remotes, more)
		if after := s.judge(); before.Outcome == Corroborated && after.Outcome != Corroborated {
			t.Errorf("%+v\nand %+v make %v (%v)", s, more, after.Outcome, after.Failed)
		}
	})
}

// Seeing a permission where there was none never loses; losing one never gains.
func TestViewsAreMonotone(t *testing.T) {
	rank := map[Outcome]int{NotCorroborated: 0, Contested: 1, Undetermined: 1, Corroborated: 2}
	each(t, func(t *testing.T, r *rand.Rand, s scene) {
		if len(s.remotes) == 0 {
			return
		}
		i := r.IntN(len(s.remotes))
		s.remotes[i].View = Denies
		worse := s.judge()
		s.remotes[i].View = []View{Permits, Unknown, Disputed}[r.IntN(3)]
		if better := s.judge(); rank[better.Outcome] < rank[worse.Outcome] {
			t.Errorf("%+v: %v, and with a denial by %d %v", s, better.Outcome, i, worse.Outcome)
		}
	})
}

// A later rule never gives what an earlier one has denied.
func TestRulesGetNoWeaker(t *testing.T) {
	each(t, func(t *testing.T, _ *rand.Rand, s scene) {
		was := Corroborated
		for _, rule := range After(day("2025-01-01")) {
			got := Judge(s.primary, s.remotes, rule).Outcome
			if was == NotCorroborated && got == Corroborated {
				t.Errorf("%+v: %v by the rule of %v, and denied before", s, got, rule.From)
			}
			was = got
		}
	})
}

// What is not sure is tried: an outcome is one whatever the unsure have seen.
func TestOutcomesHoldForEveryReading(t *testing.T) {
	each(t, func(t *testing.T, _ *rand.Rand, s scene) {
		got := s.judge()
		outcomes := map[Outcome]bool{}
		everyReading(append([]Perspective{s.primary}, s.remotes...), 0, func(all []Perspective) {
			outcomes[Judge(all[0], all[1:], s.rule).Outcome] = true
		})
		switch {
		case got.Outcome == Corroborated && len(outcomes) > 1, got.Outcome == NotCorroborated && outcomes[Corroborated]:
			t.Errorf("%+v: %v, though readings give %v", s, got.Outcome, outcomes)
		case got.Outcome != Corroborated && len(outcomes) == 1 && outcomes[Corroborated], got.Outcome != NotCorroborated && len(outcomes) == 1 && outcomes[NotCorroborated]:
			t.Errorf("%+v: %v, though every reading gives %v", s, got.Outcome, outcomes)
		}
	})
}

func everyReading(all []Perspective, i int, yield func([]Perspective)) {
	switch {
	case i == len(all):
		yield(all)
	case all[i].View == Unknown || all[i].View == Disputed:
		for _, v := range []View{Permits, Denies} {
			made := slices.Clone(all)
			made[i].View = v
			everyReading(made, i+1, yield)
		}
	default:
		everyReading(all, i+1, yield)
	}
}

// Where all are distinct, their order says nothing.
func TestOrderDoesNotMatterAmongDistinct(t *testing.T) {
	each(t, func(t *testing.T, r *rand.Rand, s scene) {
		before := s.judge()
		if len(before.NotDistinct) > 0 {
			return
		}
		r.Shuffle(len(s.remotes), func(i, j int) { s.remotes[i], s.remotes[j] = s.remotes[j], s.remotes[i] })
		if after := s.judge(); after.Outcome != before.Outcome || !slices.Equal(after.Failed, before.Failed) {
			t.Errorf("%+v: %v, and in another order %v", s, after, before)
		}
	})
}

// Nothing but the primary gives a permission when there is no other, and none when it is silent.
func TestSilenceIsNeverAPermission(t *testing.T) {
	each(t, func(t *testing.T, _ *rand.Rand, s scene) {
		s.remotes = unknown(s.remotes...)
		if got := s.judge(); s.rule.Enforced && got.Outcome == Corroborated {
			t.Errorf("%+v: corroborated by silence", s)
		}
		s.primary.View = Unknown
		if got := s.judge(); got.Outcome == Corroborated || got.Outcome == NotCorroborated {
			t.Errorf("%+v: %v, though nobody saw anything", s, got.Outcome)
		}
	})
}
