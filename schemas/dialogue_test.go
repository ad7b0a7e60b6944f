package schemas_test

import (
	"strings"
	"testing"

	"rpo/schemas"
)

func TestDialogueOptionsDefaultToThePaperAndToOneAnother(t *testing.T) {
	o := schemas.DialogueOptions{Personas: "s3://rpo/imports/a.json", UserEndpoint: "strong", UserModel: "big"}
	o.SetDefaults()
	want := schemas.DialogueOptions{
		Personas: "s3://rpo/imports/a.json", UserEndpoint: "strong", UserModel: "big", ResponderEndpoint: "strong", ResponderModel: "big",
		MaxTurns: 5, DialoguesPerProfile: 1, Candidates: 5, Threshold: 0.7, RefineRounds: 3, DialogueMaxTokens: 1024,
	}
	if err := o.Validate(); err != nil || o != want {
		t.Errorf("%+v, %v", o, err)
	}
	o = schemas.DialogueOptions{UserEndpoint: "small", ResponderEndpoint: "strong", ResponderModel: "big"}
	if o.SetDefaults(); o.UserModel != "" {
		t.Error("a model of one endpoint is asked for at another")
	}
}

func TestWrongDialogueOptionsAreRefusedByTheirField(t *testing.T) {
	for field, spoil := range map[string]func(*schemas.DialogueOptions){
		"personas":              func(o *schemas.DialogueOptions) { o.Personas = "" },
		"responder_endpoint":    func(o *schemas.DialogueOptions) { o.ResponderEndpoint = "" },
		"max_turns":             func(o *schemas.DialogueOptions) { o.MaxTurns = 21 },
		"dialogues_per_profile": func(o *schemas.DialogueOptions) { o.DialoguesPerProfile = -1 },
		"candidates":            func(o *schemas.DialogueOptions) { o.Candidates = 129 },
		"threshold":             func(o *schemas.DialogueOptions) { o.Threshold = 1.1 },
		"refine_rounds":         func(o *schemas.DialogueOptions) { o.RefineRounds = 4 },
		"dialogue_max_tokens":   func(o *schemas.DialogueOptions) { o.DialogueMaxTokens = -1 },
	} {
		o := schemas.DialogueOptions{Personas: "s3://rpo/imports/a.json", ResponderEndpoint: "strong"}
		if spoil(&o); field != "responder_endpoint" {
			o.SetDefaults()
		}
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), `field "`+field+`"`) || schemas.TypeOf(err) != schemas.InvalidInput {
			t.Errorf("%s: error %v", field, err)
		}
	}
}
