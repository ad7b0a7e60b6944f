package main

import (
	"context"

	"rpo/activities/chat"
	"rpo/schemas"
)

// Render implements train.Renderer. Of several replicas the first speaks for all.
func (m *models) Render(ctx context.Context, endpoint string, prompts [][]schemas.Message) (ids [][]int, through string, err error) {
	f, release, err := m.found(ctx, endpoint, "")
	if err != nil {
		return nil, "", err
	}
	defer release()
	c, err := chat.New(f.Endpoint)
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	for _, prompt := range prompts {
		one, by, err := c.Render(ctx, prompt)
		if err != nil || by == "" {
			return nil, "", err
		}
		ids, through = append(ids, one), by
	}
	return ids, through, nil
}
