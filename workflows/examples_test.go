package workflows

import (
	"os"
	"path/filepath"
	"testing"

	"rpo/schemas"
)

func TestEveryWorkflowHasAnExampleInputThatDecodes(t *testing.T) {
	for name, in := range Inputs() {
		data, err := os.ReadFile(filepath.Join("../examples", name+".json"))
		if err != nil {
			t.Error(err)
			continue
		}
		if err := schemas.DecodeInput(data, in); err != nil {
			t.Errorf("examples/%s.json: %v", name, err)
		}
	}
}
