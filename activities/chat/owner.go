package chat

import "context"

// ownersKey is the context key of the owners.
type ownersKey struct{}

// Own says whose data the calls made with the context are about: ids of profiles,
// personas, seeds or constraints, all that a person may demand to be forgotten.
// The call cache tags what it keeps with them, so that it can be found again. Of
// equal calls for several owners the one that was made tags the reply.
func Own(ctx context.Context, owners ...string) context.Context {
	return context.WithValue(ctx, ownersKey{}, owners)
}

// Owners are those that Own named last.
func Owners(ctx context.Context) []string {
	owners, _ := ctx.Value(ownersKey{}).([]string)
	return owners
}
