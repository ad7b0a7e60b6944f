// Package evaluate measures, on profiles that training never saw, how many
// constraints the base and the trained model follow, and whether the difference
// is more than chance.
package evaluate
