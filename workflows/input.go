package workflows

import (
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// strict makes a workflow of a function over a decoded input. The raw payload is
// decoded here, since Temporal's own decoding ignores unknown keys: a misspelt
// option would silently mean its default.
func strict[In any, PtrIn interface {
	*In
	schemas.Input
}, Out any](run func(workflow.Context, In) (Out, error)) func(workflow.Context, converter.RawValue) (Out, error) {
	return func(ctx workflow.Context, raw converter.RawValue) (out Out, err error) {
		var data []byte
		if p := raw.Payload(); p != nil {
			data = p.GetData()
		}
		var in In
		if err := schemas.DecodeInput(data, PtrIn(&in)); err != nil {
			return out, ApplicationError(err)
		}
		return run(ofRun(ctx, in), in)
	}
}
