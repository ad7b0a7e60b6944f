package train

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"rpo/activities/store"
	"rpo/schemas"
)

// comparedPrompts is how many prompts are compared: those whose shape differs
// most, see chosen.
const comparedPrompts = 6

// Renderer asks the servers behind endpoints how they render prompts.
type Renderer interface {
	// Render returns the token ids of each prompt, generation prompt included, as
	// the endpoint's server makes them of the messages of a chat request, and names
	// the way it was asked; through is "" if the server offers none. An unknown name
	// is an InvalidInput error.
	Render(ctx context.Context, endpoint string, prompts [][]schemas.Message) (ids [][]int, through string, err error)
}

// RenderingInput names rows and, in PolicyEndpoint, the endpoint whose rendering
// of their prompts must be the trainer's.
type RenderingInput struct {
	Manifest string `json:"manifest"`
	schemas.TrainOptions
}

// Rendering is a comparison that found no difference.
type Rendering struct {
	// Prompts were compared, Through the way that the server offers ("" for none).
	Prompts int    `json:"prompts"`
	Through string `json:"through"`
}

// rendered is one prompt with the endpoint's tokens, as rpo_trainer.render reads it.
type rendered struct {
	ID       string            `json:"id"`
	Messages []schemas.Message `json:"messages"`
	Tokens   []int             `json:"tokens"`
}

// CheckRendering compares the endpoint's rendering of some rows' prompts with the
// trainer's, token by token: a policy that is sampled under another rendering
// than it is trained under learns for prompts that it never sees. A difference is
// an InvalidInput error that shows it. An endpoint that does not offer its
// rendering is no error.
func (a *Activities) CheckRendering(ctx context.Context, in RenderingInput) (Rendering, error) {
	model, err := a.Node.Folder(in.BaseModel)
	if err != nil {
		return Rendering{}, err
	}
	prompts, err := a.prompts(ctx, in)
	if err != nil {
		return Rendering{}, err
	}
	var messages [][]schemas.Message
	for _, p := range prompts {
		messages = append(messages, p.Messages)
	}
	ids, through, err := a.Endpoints.Render(ctx, in.PolicyEndpoint, messages)
	if err != nil || through == "" {
		return Rendering{}, err
	}
	if len(ids) != len(prompts) {
		return Rendering{}, schemas.Errorf(schemas.CorruptData, "endpoint %q rendered %d of %d prompts", in.PolicyEndpoint, len(ids), len(prompts))
	}
	for i := range prompts {
		prompts[i].Tokens = ids[i]
	}
	dir, err := os.MkdirTemp(a.Node.WorkDir, "render-")
	if err != nil {
		return Rendering{}, schemas.Errorf(schemas.Internal, "make work folder: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "prompts.json")
	if err := WriteConfig(file, prompts); err != nil {
		return Rendering{}, err
	}
	said, err := a.Node.Ask(ctx, "rpo_trainer.render", "--model", model, "--prompts", file)
	var difference struct {
		Difference string `json:"difference"`
	}
	if err == nil {
		if decodeErr := json.Unmarshal(said, &difference); decodeErr != nil {
			err = schemas.Errorf(schemas.Internal, "render: the trainer printed no document: %w", decodeErr)
		}
	}
	if err == nil && difference.Difference != "" {
		err = schemas.Errorf(schemas.InvalidInput, "endpoint %q (asked by %s) and the trainer render prompts differently: %s: give the server the chat template, "+
			"date and options of base_model %q, or set policy_endpoint to none if the responses are not its policy's",
			in.PolicyEndpoint, through, difference.Difference, in.BaseModel)
	}
	return Rendering{Prompts: len(prompts), Through: through}, err
}

// prompts are some of the rows' prompts.
func (a *Activities) prompts(ctx context.Context, in RenderingInput) ([]rendered, error) {
	m, err := store.GetManifest(ctx, a.Store, in.Manifest)
	if err != nil {
		return nil, err
	}
	name := Table(in.Loss, m)
	objects := slices.DeleteFunc(m.Objects(name), func(o schemas.Object) bool { return o.Rows == 0 })
	if len(objects) == 0 {
		return nil, NoRows(in.Manifest, in.Loss)
	}
	switch o := objects[0]; name {
	case schemas.TableKTO:
		return pick(ctx, a.Store, o, func(r schemas.Desirability) (string, []schemas.Message) { return r.DesirabilityID, r.Prompt })
	case schemas.TableSFT:
		return pick(ctx, a.Store, o, func(r schemas.Demonstration) (string, []schemas.Message) { return r.DemonstrationID, r.Prompt })
	default:
		return pick(ctx, a.Store, o, func(r schemas.Pair) (string, []schemas.Message) { return r.PairID, r.Prompt })
	}
}

// pick takes the prompts with the most messages, since a template may treat turns
// differently, and the longest of equal ones, which hold the most that could be
// rendered in two ways.
func pick[T any](ctx context.Context, s store.Store, o schemas.Object, prompt func(T) (string, []schemas.Message)) ([]rendered, error) {
	rows, err := store.GetRows[T](ctx, s, o)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	// By the number of messages: of each number the longest comes first.
	byShape := map[int][]rendered{}
	for _, row := range rows {
		id, messages := prompt(row)
		text := ""
		for _, m := range messages {
			text += m.Role + "\x00" + m.Content + "\x00"
		}
		if !seen[text] {
			seen[text] = true
			byShape[len(messages)] = append(byShape[len(messages)], rendered{ID: id, Messages: messages})
		}
	}
	var out []rendered
	for len(out) < min(comparedPrompts, len(seen)) {
		for shape, all := range byShape {
			slices.SortFunc(all, func(a, b rendered) int { return cmp.Or(weight(b)-weight(a), cmp.Compare(a.ID, b.ID)) })
			if len(all) > 0 {
				out, byShape[shape] = append(out, all[0]), all[1:]
			}
		}
	}
	slices.SortFunc(out, func(a, b rendered) int {
		return cmp.Or(len(b.Messages)-len(a.Messages), weight(b)-weight(a), cmp.Compare(a.ID, b.ID))
	})
	return out[:min(len(out), comparedPrompts)], nil
}

func weight(r rendered) (n int) {
	for _, m := range r.Messages {
		n += len(m.Content)
	}
	return n
}
