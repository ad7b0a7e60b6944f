package report

import (
	"fmt"
	"math"
	"math/rand/v2"

	"rpo/schemas"
)

// sample is a plausible run, the same on every machine.
func sample() Data {
	accuracy := 0.875
	d := Data{
		Title:   "Quickstart: tiny-llama on bundled profiles",
		RunLink: "http://127.0.0.1:8233/namespaces/default/workflows/run-pipeline-7",
		Summary: schemas.Summary{
			Dialogues: 320, Responses: 2560, Verdicts: 9216, Quarantined: 12,
			Pairs: 4318, PairsByG: map[string]int64{"1": 1904, "2": 1507, "3": 712, "4": 165, "10": 30},
			TrainSteps: 180, LossFirst: 0.7342, LossLast: 0.2816, RewardAccuracy: &accuracy,
			BaseSatisfaction: 0.6142, TrainedSatisfaction: 0.8394, EvalVerdicts: 1440,
			Difference: 0.2252, DifferenceCI95: [2]float64{0.1861, 0.2643}, EvalProfiles: 48,
			Families: []schemas.FamilySatisfaction{
				{Family: schemas.FamilyContent, Base: 0.662, Trained: 0.871, Verdicts: 480},
				{Family: schemas.FamilyFormat, Base: 0.598, Trained: 0.846, Verdicts: 612},
				{Family: schemas.FamilyStyle, Base: 0.571, Trained: 0.79, Verdicts: 252},
				{Family: schemas.FamilyBehaviour, Base: 0.604, Trained: 0.771, Verdicts: 96},
			},
			Dataset: "bundled", DatasetVersion: 3, DatasetHash: "9b1d6f0c2a7e4853b6c1f2d7a8e9035c41f0b2d3e4a5968778695a4b3c2d1e0f",
			Report: "s3://rpo/jobs/5c1e/report.html", Card: "s3://rpo/datasets/bundled/3/README.md", Model: "s3://rpo/models/tiny-llama-rpo/3.json",
			Stages: []schemas.StageResult{
				{Stage: "sample", Shards: 8, Reused: 3, Books: schemas.Books{In: 320, OK: 318, Quarantined: 2}, Spending: schemas.Spending{Calls: 640, PromptTokens: 61440, CompletionTokens: 104211}, Counts: map[string]int64{"responses": 2560, "duplicates": 41}},
				{Stage: "judge", Shards: 8, Books: schemas.Books{In: 2560, OK: 2550, Quarantined: 10}},
				{Stage: "reverse", Shards: 8, Books: schemas.Books{In: 1152, OK: 1152}, Counts: map[string]int64{"by_rule": 1152}},
				{Stage: "pair", Shards: 8, Books: schemas.Books{In: 2550, OK: 2391, Skipped: 159}, Counts: map[string]int64{"pairs": 4318}},
				{Stage: "reference", Shards: 8, Books: schemas.Books{In: 4318, OK: 4318}},
				{Stage: "train", Shards: 1, Books: schemas.Books{In: 4318, OK: 4318}},
				{Stage: "evaluate", Shards: 2, Books: schemas.Books{In: 96, OK: 96}, Spending: schemas.Spending{Calls: 192, PromptTokens: 18312, CompletionTokens: 30977}},
			},
		},
		Examples: []schemas.Pair{samplePair()},
		Configuration: []Item{
			{"model", "models/tiny-llama"}, {"loss", "rpo (margin_scale reward)"}, {"beta, gamma", "0.1, 0.05"},
			{"LoRA rank, alpha", "8, 16"}, {"learning rate", "5e-4, cosine, 10 % warm-up"}, {"seed", "0"},
		},
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 180 {
		x := float64(i) / 180
		noise := func(scale float64) float64 { return scale * random.NormFloat64() }
		learned := 1 - math.Exp(-4*x)
		chosen, rejected := 0.62*learned+noise(0.06), -1.31*learned+noise(0.1)
		d.Steps = append(d.Steps, Step{
			Step: i + 1, Loss: 0.73 - 0.42*learned + noise(0.035),
			RewardAccuracy:       min(1, 0.5+0.42*learned+noise(0.03)),
			RewardAccuracyMargin: min(1, 0.22+0.63*learned+noise(0.04)),
			RewardChosen:         chosen, RewardRejected: rejected, RewardMargin: chosen - rejected,
			GradNorm: 1.2 - 0.7*x + noise(0.1), LearningRate: 5e-4 * (1 + math.Cos(math.Pi*x)) / 2,
		})
	}
	for i, loss := range []float64{0.7336, 0.4402, 0.3611, 0.3379} {
		d.Evals = append(d.Evals, Eval{Step: i * 60, Loss: loss, RewardAccuracy: []float64{0.5, 0.815, 0.861, 0.875}[i], Pairs: 432})
	}
	return d
}

func samplePair() schemas.Pair {
	return schemas.Pair{
		PairID: "0f6c3a52-8d0e-5b7a-9c11-3f2b6a7d8e90",
		Prompt: []schemas.Message{
			{Role: "system", Content: "You are Orla, who answers questions about the night sky.\n- Write more than 40 words.\n- Mention the planet Venus.\n- End with a question.\n- Write everything in lower case."},
			{Role: "user", Content: "Which star is the brightest?"},
		},
		Chosen:   []schemas.Message{{Role: "assistant", Content: "the brightest star at night is sirius, in the constellation of the great dog. it is so bright because it is close to us, some eight and a half light years away, and because it shines with twenty-five times the light of the sun. only venus outshines it. have you seen it in winter?"}},
		Rejected: []schemas.Message{{Role: "assistant", Content: "Sirius."}},
		Margin:   4, Case: 4, Model: "tiny-llama", JudgedBy: []string{"rule"},
		Reversed: []schemas.Reversal{
			{ConstraintID: "c1", OppositeID: "o1", Original: "Write at most 40 words.", Opposite: "Write more than 40 words.", ReversedBy: "rule"},
			{ConstraintID: "c3", OppositeID: "o3", Original: "Do not end with a question.", Opposite: "End with a question.", ReversedBy: "rule"},
		},
		Differing: []string{"c1", "c2", "c3", "c4"},
	}
}

const attack = `</style></title></desc><script>alert("x")</script><img src=x onerror=alert(1)> & ' " {{.}}` + "\x00\x1b[31m\xff`"

// hostile is a run in which every text tries to leave its place.
func hostile() Data {
	d := sample()
	d.Title, d.RunLink = attack, "javascript:alert(1)"
	s := &d.Summary
	s.Dataset, s.DatasetHash, s.Report, s.Card, s.Model = attack, attack, attack, attack, attack
	s.PairsByG = map[string]int64{attack: 3, "2": 1}
	s.Families = []schemas.FamilySatisfaction{{Family: attack, Base: 0.1, Trained: 0.2, Verdicts: 3}}
	s.Stages = []schemas.StageResult{{Stage: attack, Counts: map[string]int64{attack: 1},
		Failed: []schemas.ShardFailure{{Shard: 3, ErrorType: attack, Message: attack}}}}
	messages := []schemas.Message{{Role: attack, Content: attack}}
	d.Examples = []schemas.Pair{{PairID: attack, Prompt: append(messages, schemas.Message{Role: "system", Content: "a " + attack + " b"}),
		Chosen: messages, Rejected: messages, Model: attack, JudgedBy: []string{attack},
		Reversed: []schemas.Reversal{{ConstraintID: attack, Original: attack, Opposite: attack, ReversedBy: attack}}}}
	d.Configuration = []Item{{attack, attack}}
	return d
}

// broken are runs with figures missing or meaningless, by name.
func broken() map[string]Data {
	nan, inf := math.NaN(), math.Inf(1)
	noEval, noSteps, oneStep, notFinite, many := sample(), sample(), sample(), sample(), sample()
	noEval.Evals, noEval.Summary.EvalVerdicts, noEval.Summary.Families, noEval.Summary.RewardAccuracy = nil, 0, nil, nil
	noSteps.Steps, noSteps.Evals, noSteps.Summary.Pairs, noSteps.Summary.PairsByG = nil, nil, 0, map[string]int64{"1": 0}
	oneStep.Steps, oneStep.Evals = oneStep.Steps[:1], nil

	notFinite.Steps = []Step{{Step: 1, Loss: nan, RewardChosen: inf, RewardAccuracy: nan}, {Step: 2, Loss: 0.5, RewardMargin: -inf}, {Step: 3, Loss: nan}, {Step: 4, Loss: 1e300}, {Step: 5, Loss: 0.4}, {Step: 6, Loss: 0.4}}
	notFinite.Evals = []Eval{{Step: 0, Loss: nan, RewardAccuracy: inf}}
	notFinite.Summary.DifferenceCI95 = [2]float64{nan, inf}
	notFinite.Summary.RewardAccuracy = &nan
	notFinite.Summary.LossFirst = inf
	notFinite.Summary.Families = []schemas.FamilySatisfaction{{Family: "format", Base: nan, Trained: inf, Verdicts: 4}}

	many.Summary.PairsByG = map[string]int64{}
	for g := range 60 {
		many.Summary.PairsByG[fmt.Sprint(g+1)] = int64(g)
		many.Summary.Families = append(many.Summary.Families, schemas.FamilySatisfaction{Family: fmt.Sprintf("family with a long name %d", g), Base: 0, Trained: 1, Verdicts: 1})
	}
	for i := range 20000 {
		many.Steps = append(many.Steps, Step{Step: 181 + i, Loss: 0.3 + 0.01*float64(i%7)})
	}
	return map[string]Data{"empty": {}, "no evaluation": noEval, "no steps": noSteps, "one step": oneStep, "not finite": notFinite, "many": many}
}
