package schemas

// GenerateOptions say who turns seeds into profiles and personas.
type GenerateOptions struct {
	// GenerateEndpoint is a name in the worker's configuration. Required.
	GenerateEndpoint string `json:"generate_endpoint,omitempty"`
	GenerateModel    string `json:"generate_model,omitempty"`
	// CheckEndpoint checks what was written: whether each constraint is definite,
	// checkable and of a single turn, and which contradict one another. Default:
	// the endpoint and the model that wrote it.
	CheckEndpoint string `json:"check_endpoint,omitempty"`
	CheckModel    string `json:"check_model,omitempty"`
	// GenerateSeed gives other profiles of the same seeds.
	GenerateSeed int64 `json:"generate_seed,omitempty"`
}

func (o *GenerateOptions) SetDefaults() {
	if o.CheckEndpoint == "" {
		o.CheckEndpoint = o.GenerateEndpoint
		setDefault(&o.CheckModel, o.GenerateModel)
	}
}

func (o GenerateOptions) Validate() error {
	if o.GenerateEndpoint == "" {
		return invalid("generate_endpoint", "is required: name an endpoint of the worker's configuration")
	}
	return nil
}
