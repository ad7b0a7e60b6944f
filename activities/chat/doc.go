// Package chat calls language models behind an OpenAI-compatible chat
// completions endpoint: vLLM, SGLang, llama.cpp's server, hosted APIs.
//
// It is one of the two tools that every step may use. What may enter: the
// protocol, the differences between servers, and decorators of Completer or of
// exchanger (retry stands here; limits, cache and budget belong here). What may
// not: prompts, constraints, verdicts, or anything else of the method.
//
// A request goes through three layers. Client.Complete makes sure that exactly
// n choices come back, retrying repeats an exchange that failed, and wire is
// the one HTTP exchange.
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
