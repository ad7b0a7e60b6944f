// Package scripted is a chat completions endpoint for tests: a real HTTP server
// on loopback whose replies a function of the request decides, with the faults
// of real servers.
//
// Since a reply depends on the request alone, a test that kills and restarts
// whoever asks can demand equal results. Faults that must depend on more than
// the request, such as "refuse the first two", are set beside the function, with
// Server.Fail and Config.FailFirst, and never change what a reply says.
//
// The package knows the protocol only. What does not belong here: constraints,
// verdicts, prompts; a test that needs them writes a handler.
package scripted
