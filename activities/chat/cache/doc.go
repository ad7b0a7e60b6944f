// Package cache answers calls to language models from the object store, so that
// no call is paid twice, whichever worker takes over.
//
// What may enter: the key of a choice, the objects that hold choices, and when
// they are written, read, merged. What may not: how a call is made, metered or
// retried (package chat), and anything of the method.
//
// # What is kept
//
// Each choice of a request stands for itself, under the hash of everything that
// determines it: asking for 7 choices after 5 asks for 2. A refusal that is the
// request's own fault is kept as well, per endpoint and number of choices, once
// the endpoint has answered some call in this process: an endpoint that refuses
// everything is misconfigured, and its refusals say nothing about the requests.
//
// # Where
//
// All workers share one log per model in the bucket,
//
//	cache/calls/<model>-<hash>/<time>-<writer>-<number>.dat
//	cache/calls/<model>-<hash>/<time>-<writer>-<number>.idx
//
// Two objects are a part: the bodies in compressed blocks, and an index that is
// read without them. A part exists when its index does, and never changes. A
// process writes what it has collected every two seconds and whenever a shard's
// work ends, and merges its small parts when there are many. Merging writes the
// larger part before it deletes the smaller ones, so at every moment each kept
// choice is in some part.
//
// # What must stay true
//
// A damaged part is a miss, logged and counted, and never a wrong answer: both
// objects are checked against SHA-256, and an answer is used only if the whole
// key stands beside it. What was paid stays in memory until it is written; when
// that fails for long, further calls fail with Overloaded before they cost
// anything.
package cache
