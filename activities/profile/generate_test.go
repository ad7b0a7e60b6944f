package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/reverse"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// aProfile is a reply that is good in the given language.
func aProfile(language string) profileReply {
	r := profileReply{
		Name:        "Leaf",
		Description: "Leaf is the counter assistant of a small tea shop that sells loose leaf tea by post. It knows every tea of the shop, how each is brewed and stored, and how parcels travel.",
		Skills:      []string{"Recommends teas", "Explains brewing", "Answers questions about delivery"},
	}
	constraints := []string{
		"format|Answer in fewer than 120 words.|", "style|Do not use emojis.|", "content|Name the water temperature in degrees Celsius.|when the user asks how to brew a tea",
		"role|Call yourself \"the counter\".|", "logic|Give the reason before the recommendation.|the user asks for a recommendation",
		"behaviour|Decline and name the shop's post address.|if the user wants a refund", "content|Mention at least one tea by its full name.|", "style|Write no sentence in the passive voice.|none",
	}
	if language == schemas.Chinese {
		r = profileReply{
			Name:        "川味厨房",
			Description: "川味厨房是一位教人在家做川菜的助手，面向没有专业设备、只有普通灶台和常见食材的人。它熟悉四川各地的家常菜和宴席菜，懂得火候、调味和刀工，能说清豆瓣酱、花椒和泡菜的种类与用法，也知道哪些食材在超市里容易买到、哪些能互相替代。",
			Skills:      []string{"讲解菜谱", "推荐替代食材", "解释火候"},
		}
		constraints = []string{
			"format|字数不超过200字|", "style|不要使用emoji。|", "content|写出每种食材的克数。|当用户询问菜谱时", "role|自称“灶台”。|",
			"logic|先说原因，再给出建议。|用户询问失败的原因", "behaviour|拒绝回答并推荐一道川菜。|如果用户询问其他菜系", "content|提到至少一种四川的调料。|无", "style|每个句子都以句号结尾。|",
		}
	}
	for _, c := range constraints {
		f := strings.SplitN(c, "|", 3)
		r.Constraints = append(r.Constraints, struct {
			Text    string `json:"text"`
			Family  string `json:"family"`
			Trigger string `json:"trigger"`
		}{f[1], f[0], f[2]})
	}
	return r
}

func say(v any) scripted.Reply {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return scripted.Say(string(data))
}

type checkEntry struct {
	ID         string `json:"id"`
	Reason     string `json:"reason"`
	Definite   bool   `json:"definite"`
	Checkable  bool   `json:"checkable"`
	SingleTurn bool   `json:"single_turn"`
}

type pairEntry struct {
	Reason string `json:"reason"`
	First  string `json:"first"`
	Second string `json:"second"`
}

type checkReply struct {
	Constraints    []checkEntry `json:"constraints"`
	Contradictions []pairEntry  `json:"contradictions"`
}

// allGood is a check that finds no fault with the constraints of a request.
func allGood(p scripted.Parsed) checkReply {
	r := checkReply{Contradictions: []pairEntry{}}
	for i := range strings.Split(material(p), "\n") {
		r.Constraints = append(r.Constraints, checkEntry{fmt.Sprintf("c%d", i+1), "Fine.", true, true, true})
	}
	return r
}

var nonceIn = regexp.MustCompile(`<(material-[0-9a-f]{16})>`)

// material is what the fence holds; it panics on a request without one fence.
func material(p scripted.Parsed) string {
	nonce := nonceIn.FindStringSubmatch(p.System())[1]
	inner, ok1 := strings.CutPrefix(p.Last(), "<"+nonce+">\n")
	inner, ok2 := strings.CutSuffix(inner, "\n</"+nonce+">")
	if !ok1 || !ok2 || strings.Contains(inner, "<"+nonce) || strings.Contains(inner, "</"+nonce) {
		panic("no fence in " + p.Last())
	}
	return inner
}

func isChinese(p scripted.Parsed) bool { return strings.Contains(p.System(), "材料") }

func aPersona(language string) map[string]any {
	if language == schemas.Chinese {
		return map[string]any{
			"name": "王建国", "description": "六十三岁的退休公交司机，住在成都郊区，给助手写消息时句子短，很少用标点，想到什么就问什么。",
			"background": "刚分到一小块菜地，从来没有种过东西，想知道秋天能种什么，也想让孙子放学以后有地方去玩。",
			"traits":     []string{"急性子", "爱讲往事", "怕花钱", "记性不好", "喜欢比较价格", "不信广告", "凡事问到底", "说话直率", "常打错字", "乐于道谢", "晚上才提问"},
		}
	}
	return map[string]any{
		"name": "Walter Brandt", "description": "Walter is 66, drove a city bus for forty years and lives with his wife at the edge of Kassel. He writes short messages.",
		"background": "He was given an allotment in spring, has never grown anything and wants to harvest something his grandchildren will eat.",
		"traits":     []string{"impatient", "Impatient.", "fond of anecdotes", "counts every cent", "forgets names", "asks for proof", "types without capitals", "thanks at the end", "distrusts adverts", "likes lists", "doubts himself", "writes at night"},
	}
}

// honest plays both models.
func honest(p scripted.Parsed) scripted.Reply {
	language := schemas.English
	if isChinese(p) {
		language = schemas.Chinese
	}
	switch p.SchemaName {
	case "generate_profile":
		return say(aProfile(language))
	case "persona":
		return say(aPersona(language))
	case "extract":
		return say(extractReply{Constraints: []extracted{
			{2, "", "role", ""}, {3, "", "format", ""}, {4, "name the price of 25 euros", "content", "if a guest asks for a late check-out"}, {5, "", "style", "none"},
		}})
	case "check_profile":
		return say(allGood(p))
	}
	return scripted.Refuse(400, "unknown schema "+p.SchemaName)
}

type extracted struct {
	Sentence int    `json:"sentence"`
	Quote    string `json:"quote"`
	Family   string `json:"family"`
	Trigger  string `json:"trigger"`
}

type extractReply struct {
	Constraints []extracted `json:"constraints"`
}

const hotel = "You are the night desk of the Hotel Linden.\n- Greet every guest with \"Good evening\".\n- Answer in fewer than 80 words.\n- If a guest asks for a late check-out, name the price of 25 euros.\n- Do not use emojis.\n"

func seed(kind, id, text string, queries ...string) schemas.Seed {
	return schemas.Seed{
		SeedID: schemas.ID("seed", "test", id, kind, text), Source: "test", SourceID: id, Kind: kind, Text: text,
		Language: languageOf(text), Split: schemas.SplitTrain, Queries: queries,
	}
}

func fourSeeds() []schemas.Seed {
	return []schemas.Seed{
		seed(schemas.SeedProfile, "tea", "A tea shop's counter assistant.", "How do I brew sencha?"),
		seed(schemas.SeedPersona, "walter", "A retired bus driver with an allotment."),
		seed(schemas.SeedProfile, "sichuan", "一位教人做川菜的厨房助手。"),
		seed(schemas.SeedSystem, "hotel", hotel, "May I stay until two?", "Is there a bar?"),
	}
}

type outcome struct {
	record      schemas.CommitRecord
	profiles    []schemas.Profile
	turns       []schemas.Turn
	personas    []schemas.Persona
	quarantined []schemas.Quarantined
}

func shardOf(t *testing.T, s store.Store, o schemas.GenerateOptions, seeds []schemas.Seed) ShardInput {
	t.Helper()
	uri, _, err := WriteSeeds(t.Context(), s, seeds, 100)
	if err != nil {
		t.Fatal(err)
	}
	return ShardInput{Shard: steptest.Open(t, s, "generate", uri, o, 0), GenerateOptions: o}
}

// generated runs the step on one shard of seeds.
func generated(t *testing.T, s store.Store, models steptest.Models, o schemas.GenerateOptions, seeds ...schemas.Seed) (out outcome, err error) {
	t.Helper()
	in := shardOf(t, s, o, seeds)
	a := Activities{Store: s, Models: models}
	steptest.Run(t, func(ctx context.Context) { _, err = a.GenerateShard(ctx, in) })
	if err != nil {
		return out, err
	}
	out.record = steptest.Record(t, s, in.Shard)
	out.profiles = steptest.Rows[schemas.Profile](t, s, out.record, schemas.TableProfile)
	out.turns = steptest.Rows[schemas.Turn](t, s, out.record, schemas.TableTurn)
	out.personas = steptest.Rows[schemas.Persona](t, s, out.record, schemas.TablePersona)
	out.quarantined = steptest.Rows[schemas.Quarantined](t, s, out.record, schemas.TableQuarantine)
	for _, p := range out.profiles {
		checkProfile(t, p)
		checkRendering(t, p)
	}
	return out, nil
}

// generatedBy is generated with one endpoint that the handler plays.
func generatedBy(t *testing.T, handler func(scripted.Parsed) scripted.Reply, seeds ...schemas.Seed) (outcome, error) {
	t.Helper()
	server := scripted.New(t, handler)
	return generated(t, store.NewMemory("rpo"), steptest.Models{"writer": server.URL}, schemas.GenerateOptions{GenerateEndpoint: "writer"}, seeds...)
}

// checkRendering replaces every subset of one constraint and all of them in place.
func checkRendering(t *testing.T, p schemas.Profile) {
	t.Helper()
	all := map[string]string{}
	for i, c := range p.Constraints {
		mark := fmt.Sprintf("⟦%d⟧", i)
		all[c.ConstraintID] = mark
		got, err := reverse.Render(p.System, p.Constraints, map[string]string{c.ConstraintID: mark})
		if err != nil || got != p.System[:c.Start]+mark+p.System[c.End:] {
			t.Errorf("constraint %q is not replaced in place: %v", c.Text, err)
		}
		if strings.Contains(got, c.Text) {
			t.Errorf("a copy of %q stays behind", c.Text)
		}
	}
	got, err := reverse.Render(p.System, p.Constraints, all)
	if err != nil {
		t.Error(err)
	}
	for _, c := range p.Constraints {
		got = strings.Replace(got, all[c.ConstraintID], c.Text, 1)
	}
	if got != p.System {
		t.Errorf("rendering touches other bytes: %q", got)
	}
}

func TestEveryKindOfSeedGivesItsRowsInTheOrderOfTheSeeds(t *testing.T) {
	out, err := generatedBy(t, honest, fourSeeds()...)
	if err != nil {
		t.Fatal(err)
	}
	if out.record.Books != (schemas.Books{In: 4, OK: 4}) || out.record.Calls != 7 || len(out.quarantined) != 0 {
		t.Fatalf("record %+v, quarantine %+v", out.record, out.quarantined)
	}
	var ids []string
	for _, p := range out.profiles {
		ids = append(ids, p.SourceID)
	}
	if !slices.Equal(ids, []string{"tea", "sichuan", "hotel"}) || len(out.turns) != 3 || len(out.personas) != 1 {
		t.Fatalf("profiles %q, %d turns, %d personas", ids, len(out.turns), len(out.personas))
	}
	tea := out.profiles[0]
	if tea.MadeBy != "scripted profile/1, scripted check/1" || out.profiles[2].MadeBy != "scripted extract/1, scripted check/1" {
		t.Errorf("made by %q and %q", tea.MadeBy, out.profiles[2].MadeBy)
	}
	want := `You are Leaf.

Leaf is the counter assistant of a small tea shop that sells loose leaf tea by post. It knows every tea of the shop, how each is brewed and stored, and how parcels travel.

Skills:
1. Recommends teas
2. Explains brewing
3. Answers questions about delivery

Every response follows these constraints:
- Answer in fewer than 120 words.
- Do not use emojis.
- When the user asks how to brew a tea, name the water temperature in degrees Celsius.
- Call yourself "the counter".
- When the user asks for a recommendation, give the reason before the recommendation.
- If the user wants a refund, decline and name the shop's post address.
- Mention at least one tea by its full name.
- Write no sentence in the passive voice.`
	if tea.System != want {
		t.Errorf("system message\n%s", tea.System)
	}
	if c := tea.Constraints[0]; c.Rule.Kind != "words" || c.Family != schemas.FamilyFormat {
		t.Errorf("constraint %+v", c)
	}
	if c := tea.Constraints[2]; c.Trigger != "when the user asks how to brew a tea" || !c.Rule.IsZero() || c.Family != schemas.FamilyContent {
		t.Errorf("constraint %+v", c)
	}
	if turn := out.turns[0]; turn.ProfileID != tea.ProfileID || turn.Query != "How do I brew sencha?" || len(turn.Triggered) != 8 || turn.System != tea.System {
		t.Errorf("turn %+v", turn)
	}
}

func TestAChineseDescriptionGivesAChineseProfileByTheChinesePrompts(t *testing.T) {
	out, err := generatedBy(t, func(p scripted.Parsed) scripted.Reply {
		if !isChinese(p) {
			t.Errorf("an English prompt: %s", p.System())
		}
		return honest(p)
	}, seed(schemas.SeedProfile, "sichuan", "一位教人做川菜的厨房助手。"), seed(schemas.SeedPersona, "wang", "一位刚分到菜地的退休公交司机。"))
	if err != nil || len(out.profiles) != 1 || len(out.personas) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, line := range []string{"你是川味厨房。", "\n技能：\n1. 讲解菜谱\n", "\n每次回答都遵守以下要求：\n- 字数不超过200字。\n", "\n- 当用户询问菜谱时，写出每种食材的克数。\n", "\n- 当用户询问失败的原因时，先说原因，再给出建议。\n"} {
		if !strings.Contains(out.profiles[0].System+"\n", line) {
			t.Errorf("%q is missing in\n%s", line, out.profiles[0].System)
		}
	}
	ruled := 0
	for _, c := range out.profiles[0].Constraints {
		if !c.Rule.IsZero() {
			ruled++
		}
	}
	if len(out.profiles[0].Constraints) != 8 || ruled != 2 {
		t.Errorf("%d constraints, %d with a rule", len(out.profiles[0].Constraints), ruled)
	}
	if p := out.personas[0]; len(p.Traits) != 10 || p.Language != schemas.Chinese || p.MadeBy != "scripted persona/1" || !strings.Contains(p.Description, "公交司机") {
		t.Errorf("persona %+v", p)
	}
}

func TestTheConstraintsOfASystemPromptAreItsOwnBytes(t *testing.T) {
	out, err := generatedBy(t, honest, fourSeeds()[3])
	if err != nil || len(out.profiles) != 1 {
		t.Fatalf("%+v, %v", out.quarantined, err)
	}
	p := out.profiles[0]
	var got []string
	for _, c := range p.Constraints {
		got = append(got, c.Text+"|"+c.Trigger+"|"+c.Rule.Kind)
	}
	want := []string{
		`Greet every guest with "Good evening".||`, "Answer in fewer than 80 words.||words",
		"name the price of 25 euros|if a guest asks for a late check-out|", "Do not use emojis.||emoji",
	}
	if p.System != hotel || !slices.Equal(got, want) {
		t.Errorf("constraints %q", got)
	}
	if len(out.turns) != 2 || out.turns[1].Query != "Is there a bar?" {
		t.Errorf("turns %+v", out.turns)
	}
}

func TestTraitsAreTenAndDistinct(t *testing.T) {
	out, err := generatedBy(t, honest, fourSeeds()[1])
	if err != nil || len(out.personas) != 1 {
		t.Fatal(out.quarantined, err)
	}
	if traits := out.personas[0].Traits; len(traits) != 10 || traits[0] != "impatient" || traits[1] != "fond of anecdotes" {
		t.Errorf("traits %q", traits)
	}
}
