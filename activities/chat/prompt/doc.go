// Package prompt puts material into the prompts of the steps: it picks the
// language to ask in, fences material with a tag that the material cannot hold,
// and quotes short texts so that each stays on its own line. It tells what a text
// says from what it quotes.
//
// What belongs here: how material is delimited, whatever the step. What a prompt
// says, and how its reply is read, is the step's own.
package prompt
