package schemas

// Outcome is what the results of all stages have in common.
func (r StageResult) Outcome() StageResult { return r }

// Made is the URI of what a stage made, which the next one takes.
func (r StageResult) Made() string { return r.Manifest }

// Made is the URI of the trained model.
func (r TrainResult) Made() string { return r.Model }
