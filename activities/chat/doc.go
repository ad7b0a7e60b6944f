// Package chat calls language models behind an OpenAI-compatible chat
// completions endpoint: vLLM, SGLang, llama.cpp's server, hosted APIs.
//
// It is one of the two tools that every step may use. What may enter: the
// protocol, the differences between servers, and decorators of Completer or of
// exchanger (retry, limits and breaker stand here, the cache in its own folder).
// What may not: prompts, constraints, verdicts, or anything else of the method.
//
// A request goes through these layers. Replicated picks one of several servers,
// if there are. Client.Complete makes sure that exactly n choices come back,
// breaking and retrying decide whether and how often an exchange is made, limited
// when, and wire is the one HTTP exchange, whole or streamed.
//
// # What servers differ in
//
// Before the first call to a model a Client probes its server with at most four
// tiny requests, which belong to no call: does it honour n and seed, in which form
// does it heed a JSON schema, how does it call the token limit, which parameters
// does it refuse. Requests are then written in the server's dialect. That changes
// no result: a refused parameter is left out only where the request has it off,
// and is an InvalidInput error elsewhere. Refusals that only a call meets are
// learnt from that call, once the server takes the rest of it. Everything else
// that servers do differently is tolerated where replies are read: fewer or more
// choices, missing usage, reasoning beside content, errors inside replies.
//
// # Seeds
//
// The results of a request depend on the request alone, not on what the client
// met before. Choice i is sampled with seed Request.Seed + i: a server that
// honours n does so by itself (vLLM and llama.cpp's server both derive the seed
// of choice i as seed + i, the latter seen on the wire), and when it does not, or
// gives too few choices, the missing ones are asked for with that seed. Seeds
// are sent modulo 2^31, which every server accepts as a non-negative number. A
// caller that derives its seeds from a hash needs no care about overlaps.
//
// A server is still free to answer the same seed differently: batching changes
// the order of floating point sums. So store replies, never regenerate them.
package chat
