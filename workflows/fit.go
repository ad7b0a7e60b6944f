package workflows

import (
	"encoding/json"

	"rpo/schemas"
)

// fitting is what a result may weigh as JSON: a payload has 8 KiB.
const fitting = 8000

// fit drops counts of stages, those of the longest names first, until the whole
// that they are part of fits into a payload. The stages' manifests hold all.
func fit(stages []schemas.StageResult, whole func() any) {
	most := 0
	for _, s := range stages {
		most = max(most, len(s.Counts))
	}
	for ; most > 0 && weight(whole()) > fitting; most-- {
		for i := range stages {
			stages[i].Counts = schemas.FewCounts(stages[i].Counts, most-1)
		}
	}
}

func weight(v any) int {
	data, _ := json.Marshal(v) // what cannot be encoded is no payload either
	return len(data)
}
