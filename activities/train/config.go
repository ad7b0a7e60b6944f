package train

import (
	"cmp"

	"rpo/schemas"
)

// config is the trainer's configuration file.
type config struct {
	Version         int      `json:"version"`
	ModelDir        string   `json:"model_dir"`
	Data            []string `json:"data"`
	Reference       []string `json:"reference"`
	OutDir          string   `json:"out_dir"`
	Loss            string   `json:"loss"`
	MarginScale     string   `json:"margin_scale"`
	Beta            float64  `json:"beta"`
	Gamma           float64  `json:"gamma"`
	Epochs          int      `json:"epochs"`
	MaxSteps        int      `json:"max_steps"`
	PairsPerStep    int      `json:"pairs_per_step"`
	PairsPerBatch   int      `json:"pairs_per_batch"`
	LearningRate    float64  `json:"learning_rate"`
	Lora            *lora    `json:"lora"`
	Seed            int64    `json:"seed"`
	MaxTokens       int      `json:"max_tokens"`
	HeldOutFraction float64  `json:"held_out_fraction"`
	CheckpointEvery int      `json:"checkpoint_every"`
	Export          []string `json:"export"`
	Device          string   `json:"device"`
	DType           string   `json:"dtype"`
	Threads         int      `json:"threads"`
	SFTWeight       float64  `json:"sft_weight"`
	Layout          string   `json:"layout"`
	TokensPerBatch  int      `json:"tokens_per_batch"`
	Shard           int      `json:"shard"`
	// Adapter is the folder of the adapter that the run starts from, "" for none.
	Adapter string `json:"adapter"`
}

type lora struct {
	Rank  int     `json:"rank"`
	Alpha float64 `json:"alpha"`
}

// settings are what of the configuration the options say, without folders and
// files.
func (n Node) settings(o schemas.TrainOptions) config {
	c := config{
		Version: 1, Loss: o.Loss, MarginScale: o.MarginScale, Beta: o.Beta, Gamma: o.Gamma,
		Epochs: o.Epochs, MaxSteps: o.MaxSteps, PairsPerStep: o.PairsPerStep, PairsPerBatch: o.PairsPerBatch,
		LearningRate: o.LearningRate, Seed: o.TrainSeed, MaxTokens: o.MaxLength,
		HeldOutFraction: o.HeldOutFraction, CheckpointEvery: o.CheckpointEvery,
		Export: []string{"adapter", "merged", "gguf"}, Reference: []string{},
		Device: n.Device, DType: n.Precision(o.Precision), Threads: n.Threads,
		SFTWeight: o.SFTWeight, Layout: cmp.Or(o.Layout, "pairs"), TokensPerBatch: o.TokensPerBatch, Shard: ShardOf(o),
	}
	if o.FullFineTuning {
		c.Export = []string{"merged", "gguf"}
	} else {
		c.Lora = &lora{o.LoraRank, float64(o.LoraAlpha)}
	}
	return c
}

// ShardOf is the shard in the trainer's words, where 0 means all of a node.
func ShardOf(o schemas.TrainOptions) int {
	if o.Shard < 0 {
		return 0
	}
	return max(1, o.Shard)
}

// Table is the table that a loss trains on: the baseline's own where the manifest
// has it, else the pairs, which kto cannot read.
func Table(loss string, m schemas.Manifest) string {
	own := map[string]string{"dpo": schemas.TableDPO, "kto": schemas.TableKTO, "sft": schemas.TableSFT}[loss]
	if loss == "kto" || own != "" && len(m.Objects(own)) > 0 {
		return own
	}
	return schemas.TablePair
}

// NoRows is the error of a manifest that has no rows for a loss.
func NoRows(manifest, loss string) error {
	mend := "look at the pair stage's dropped counts"
	if loss == "kto" {
		mend = "have BuildPairs make the table with baselines"
	}
	return schemas.Errorf(schemas.InvalidInput, "manifest %s holds no rows for loss %s: give the manifest of BuildPairs or ComputeReference; %s", manifest, loss, mend)
}
