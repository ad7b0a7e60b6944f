// Command world writes everything that the tiny model and the bundled profiles
// are made of: a small closed world of system messages with constraints,
// questions, and answers that follow or fail each constraint at will.
//
//	world profiles -out profiles.jsonl        bundled profiles (train and eval)
//	world text -out sft.parquet -corpus c.txt supervised text for the base model
//	world measure -model URL                  satisfaction per kind of constraint
//
// Every constraint text is a phrasing of the rules package and every verdict is
// a strict verdict of it, so that a reversed system message stays in the
// language that the model was trained on. Same flags, same bytes.
//
// What may not enter: anything the method itself needs. The world is input.
package main
