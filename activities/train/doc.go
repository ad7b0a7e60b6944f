// Package train runs the trainer: it moves data and checkpoints between the
// object store and local disk, starts torchrun, watches it and commits the model.
//
// What belongs here: one supervisor per node and what it reads and writes. The
// mathematics is the trainer's (workers/trainer); ranks never talk to the object
// store or to Temporal.
package train
