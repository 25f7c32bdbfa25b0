package evaluate_test

import (
	"os"
	"testing"
)

type worldReport struct {
	Seeds []struct {
		Seed                                                      uint64
		Random, MassMarketing, Rapport, RapportSecondHalf, Oracle worldPlay
		BestObservable                                            worldPlay
		GapTaken, GapTakenLate, Recovered                         float64
	}
	GapTaken, GapTakenLate, Recovered float64
}

type worldPlay struct{ Margin, Contacts, Annoyed, Unsubscribed, MarginPerPerson float64 }

// A short play, whose learning has only begun. The whole of it, with 200,000
// decisions and five seeds, is TestTheDemoWorldOverFiveSeeds.
func TestRapportSoonBeatsMassMarketingInTheDemoWorld(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("plays 10,000 decisions through a whole engine")
	}
	var r worldReport
	if err := evaluated(t, "world", &r, "--decisions", "10000", "--seeds", "1", "--first-seed", "50", "--shoppers", "1000", "--turn=false"); err != nil {
		t.Fatal(err)
	}
	s := r.Seeds[0]
	t.Logf("random %.4f, mass %.4f, Rapport %.4f, best observable %.4f, oracle %.4f", s.Random.Margin, s.MassMarketing.Margin, s.Rapport.Margin, s.BestObservable.Margin, s.Oracle.Margin)
	if !(s.Random.Margin < s.MassMarketing.Margin && s.MassMarketing.Margin < s.BestObservable.Margin && s.BestObservable.Margin < s.Oracle.Margin) {
		t.Errorf("policies do not stand in their order: %+v", s)
	}
	if s.GapTakenLate < 0.1 || s.Rapport.Contacts > s.MassMarketing.Contacts {
		t.Errorf("of the second 5,000 decisions %.2f of the gap is taken with %.3f contacts a decision", s.GapTakenLate, s.Rapport.Contacts)
	}
}

// Takes half an hour of one core: RAPPORT_WORLD=1 asks for it; RAPPORT_WORLD_FILE plays another world.
func TestTheDemoWorldOverFiveSeeds(t *testing.T) {
	if os.Getenv("RAPPORT_WORLD") == "" {
		t.Skip("set RAPPORT_WORLD=1 to play 200,000 decisions over five seeds")
	}
	args := []string{"--decisions", "200000", "--seeds", "5"}
	if file := os.Getenv("RAPPORT_WORLD_FILE"); file != "" {
		args = append(args, "--world", file)
	}
	var r worldReport
	if err := evaluated(t, "world", &r, args...); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Seeds {
		t.Logf("seed %d: per person mass %.3f, Rapport %.3f, best observable %.3f; annoyed %.5f against %.5f; unsubscribed %.5f against %.5f; contacts %.3f against %.3f; gap taken %.3f, late %.3f; recovered %.3f",
			s.Seed, s.MassMarketing.MarginPerPerson, s.Rapport.MarginPerPerson, s.BestObservable.MarginPerPerson, s.Rapport.Annoyed, s.MassMarketing.Annoyed,
			s.Rapport.Unsubscribed, s.MassMarketing.Unsubscribed, s.Rapport.Contacts, s.MassMarketing.Contacts, s.GapTaken, s.GapTakenLate, s.Recovered)
		if s.Recovered < 0.95 {
			t.Errorf("seed %d: %.3f of the level before is reached after tastes changed", s.Seed, s.Recovered)
		}
	}
	if r.GapTaken < 0.75 {
		t.Errorf("%.3f of the gap is taken", r.GapTaken)
	}
}
