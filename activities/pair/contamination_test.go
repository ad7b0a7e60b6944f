package pair_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/schemas"
)

const (
	english = "Write a short letter to the mayor of your town about the broken street lamp in front of the old school, please."
	chinese = "请给市长写一封信，说明学校门口的路灯坏了，希望尽快派人修理，谢谢！"
)

// evaluation holds the two prompts above and the key of one profile.
func evaluation() *pair.Evaluation {
	e := pair.NewEvaluation()
	e.Add(schemas.Turn{System: "You are kind.", Query: english})
	e.Add(schemas.Turn{System: chinese})
	e.Add(schemas.Turn{System: "?!", Query: ""})
	e.AddKey(schemas.Profile{Source: "ifeval", SourceID: "1001"})
	e.AddKey(schemas.Profile{Source: "profiles", SourceID: "1"})
	return e
}

func TestPromptsOfTheEvaluationAreFound(t *testing.T) {
	words := strings.Fields(english)
	for _, c := range []struct {
		name, text string
		holds      bool
	}{
		{"the prompt itself", english, true},
		{"other case, blanks and marks", strings.ToUpper(strings.ReplaceAll(english, " ", "\n\t")) + "!?", true},
		{"full-width letters", "Ｙｏｕ ａｒｅ ｋｉｎｄ．", true},
		{"a short prompt, equal but for marks", "you are — KIND", true},
		{"a short prompt inside another text", "You are kind. You are also tall.", false},
		{"thirteen words of it", "I say: " + strings.Join(words[3:16], " ") + " and so on", true},
		{"twelve words of it", "I say: " + strings.Join(words[3:15], " ") + " and so on", false},
		{"thirteen words with another in between", strings.Join(words[3:10], " ") + " now " + strings.Join(words[10:16], " "), false},
		{"thirteen words in another order", strings.Join(append(append([]string{}, words[9:16]...), words[3:9]...), " "), false},
		{"Chinese, itself with other marks", strings.ReplaceAll(chinese, "，", "、"), true},
		{"26 characters of it", "市长写一封信，说明学校门口的路灯坏了，希望尽快派人修理，谢，不用客气", true},
		{"25 characters of it", "长写一封信，说明学校门口的路灯坏了，希望尽快派人修理，谢，不用客气", false},
		{"other Chinese", "请写一首关于春天的诗，不少于二十行，每行七个字。", false},
		{"nothing", " \n", false},
		{"marks only, as in an evaluation prompt", "!", false},
	} {
		if got := evaluation().Holds(c.text); got != c.holds {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestPairsWithAPromptOfTheEvaluationAreDroppedAndCounted(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		kept   int
	}{
		{"nothing of it", func(*world) {}, 2},
		{"the query", func(w *world) { w.Query = strings.ToLower(english) }, 0},
		{"an earlier query", func(w *world) { w.History = []schemas.Message{{Role: "user", Content: english}, {Role: "assistant"}} }, 0},
		{"an earlier answer is not a prompt", func(w *world) { w.History = []schemas.Message{{Role: "user"}, {Role: "assistant", Content: english}} }, 2},
		{"the system message", func(w *world) { w.System += chinese }, 0},
		{"the key of the profile", func(w *world) { w.Key = pair.Key(schemas.Profile{Source: "system_ifeval", SourceID: "1001"}) }, 0},
		{"another key of the source", func(w *world) { w.Key = pair.Key(schemas.Profile{Source: "ifeval", SourceID: "100"}) }, 2},
		{"the id of another file of the same name", func(w *world) { w.Key = pair.Key(schemas.Profile{Source: "profiles", SourceID: "1"}) }, 2},
		{"the same key of another source", func(w *world) { w.Key = pair.Key(schemas.Profile{Source: "shops", SourceID: "1001"}) }, 2},
		{"an opposite, so in one of the two prompts", func(w *world) {
			o := w.Opposites[w.Constraints[0].ConstraintID]
			o.Text = english
			w.Opposites[o.ConstraintID] = o
		}, 1},
	} {
		w := newWorld(t, "contaminated", "ff")
		w.add("01")
		w.add("10")
		c.change(w)
		built, err := pair.NewBuilder(schemas.PairOptions{Baselines: true}, evaluation()).Build(w.Turn)
		if err != nil || len(built.Pairs) != c.kept || built.Drops != (pair.Drops{Contaminated: int64(2 - c.kept)}) {
			t.Errorf("%s: %d pairs, drops %+v, %v", c.name, len(built.Pairs), built.Drops, err)
		}
		if clean := c.kept > 0; clean != (len(built.KTO) == 2) {
			t.Errorf("%s: %d rows of baselines", c.name, len(built.KTO))
		}
	}
}

func TestPlantedCopiesAreCaughtAmongManyPromptsAndNoOthers(t *testing.T) {
	random := rand.New(rand.NewPCG(17, 18))
	text := func(n int, from string) string {
		var out []string
		for range n {
			out = append(out, fmt.Sprintf("%s%d", from, random.IntN(500)))
		}
		return strings.Join(out, " ")
	}
	e := pair.NewEvaluation()
	var prompts [][]string
	for range 200 {
		p := text(20+random.IntN(40), "w")
		prompts = append(prompts, strings.Fields(p))
		e.Add(schemas.Turn{System: text(30, "s"), Query: p})
	}
	for range 1000 {
		p := prompts[random.IntN(len(prompts))]
		n := 5 + random.IntN(14)
		at := random.IntN(len(p) - n + 1)
		planted := text(5, "w") + ", " + strings.Join(p[at:at+n], " ") + ". " + text(5, "x")
		// The words before it go on by chance once in 500 times; then 12 are enough.
		if got := e.Holds(planted); got != (n >= 13) && n != 12 {
			t.Errorf("a copy of %d words: %v", n, got)
		}
	}
}
