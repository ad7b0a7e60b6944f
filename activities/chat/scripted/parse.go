package scripted

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"rpo/schemas"
)

// parse reads a request; what it refuses, a real server would refuse too.
func (s *Server) parse(body []byte) (Parsed, error) {
	var in struct {
		Model               string            `json:"model"`
		Messages            []schemas.Message `json:"messages"`
		N                   *int              `json:"n"`
		Temperature         float64           `json:"temperature"`
		TopP                float64           `json:"top_p"`
		TopK                int               `json:"top_k"`
		MinP                float64           `json:"min_p"`
		MaxTokens           int               `json:"max_tokens"`
		MaxCompletionTokens int               `json:"max_completion_tokens"`
		Seed                int64             `json:"seed"`
		Stop                []string          `json:"stop"`
		Stream              bool              `json:"stream"`
		StreamOptions       struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
		ResponseFormat struct {
			JSONSchema struct {
				Name   string          `json:"name"`
				Schema json.RawMessage `json:"schema"`
			} `json:"json_schema"`
			Schema json.RawMessage `json:"schema"`
		} `json:"response_format"`
	}
	err := json.Unmarshal(body, &in)
	p := Parsed{
		Model: in.Model, Messages: in.Messages, N: 1,
		Temperature: in.Temperature, TopP: in.TopP, TopK: in.TopK, MinP: in.MinP,
		MaxTokens: in.MaxTokens + in.MaxCompletionTokens, Seed: in.Seed, Stop: in.Stop,
		Stream: in.Stream, includeUsage: in.StreamOptions.IncludeUsage,
		Body: body,
	}
	if in.N != nil {
		p.N = *in.N
	}
	switch s.config.Schema {
	case SchemaNested:
		p.Schema, p.SchemaName = in.ResponseFormat.JSONSchema.Schema, in.ResponseFormat.JSONSchema.Name
	case SchemaFlat:
		p.Schema = in.ResponseFormat.Schema
	}
	return p, err
}

// refusal is the reply to a request that the Config refuses, or nil.
func (s *Server) refusal(p Parsed) *Reply {
	if s.config.RefuseN && p.N > 1 {
		r := Refuse(http.StatusBadRequest, "only n = 1 is supported")
		return &r
	}
	refuse := s.config.Refuse
	if s.config.Schema == SchemaRefused {
		refuse = append(slices.Clone(refuse), "response_format")
	}
	if len(refuse) == 0 {
		return nil
	}
	var has map[string]json.RawMessage
	json.Unmarshal(p.Body, &has)
	refuse = slices.DeleteFunc(slices.Clone(refuse), func(key string) bool { return has[key] == nil })
	if len(refuse) == 0 {
		return nil
	}
	if s.config.RefuseStatus == http.StatusUnprocessableEntity {
		var detail []map[string]any
		for _, key := range refuse {
			detail = append(detail, map[string]any{"type": "extra_forbidden", "loc": []string{"body", key}, "msg": "Extra inputs are not permitted"})
		}
		return &Reply{Status: s.config.RefuseStatus, Body: encode(map[string]any{"detail": detail})}
	}
	said := "Unrecognized request argument supplied: " + refuse[0]
	if refuse[0] == "max_tokens" {
		said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
	}
	r := Refuse(http.StatusBadRequest, said)
	return &r
}

// instance is a value that follows a schema, as far as this server knows them.
func instance(schema json.RawMessage) any {
	var s struct {
		Type       string                     `json:"type"`
		Enum       []any                      `json:"enum"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	json.Unmarshal(schema, &s)
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "object":
		out := map[string]any{}
		for name, property := range s.Properties {
			out[name] = instance(property)
		}
		return out
	case s.Type == "array":
		return []any{}
	case s.Type == "boolean":
		return true
	case s.Type == "string":
		return strings.Repeat("x", 3)
	default:
		return 0
	}
}
