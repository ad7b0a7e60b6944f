package schemas

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"reflect"
)

// presetsJSON holds the trainer's presets in the words of TrainOptions. A test of
// the trainer demands that both say the same.
//
//go:embed presets.json
var presetsJSON []byte

var presets = readPresets()

func readPresets() map[string]TrainOptions {
	out := map[string]TrainOptions{}
	d := json.NewDecoder(bytes.NewReader(presetsJSON))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		panic("schemas/presets.json: " + err.Error()) // part of the program
	}
	return out
}

// Presets lists the names of the recipes: rpo-paper-* are the paper's with shared
// prompts, rpo-faithful-* do as the authors' code does (layout none, their margin).
func Presets() []string { return sortedKeys(presets) }

// fillZero replaces the zero fields of a struct by another's.
func fillZero(to, from reflect.Value) {
	for i := range to.NumField() {
		if to.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
}
