// Command chaos is a drill: it runs the steps from turns to pairs again and again
// on the real parts, breaks them at seeded moments, and demands the data that an
// undisturbed run makes.
//
//	go run ./workers/rpo/chaos [--seed N]
//
// It needs bin/rpo and bin/rpo-local. A run has a stack of its own: Temporal, the
// S3 server and the worker as processes that are killed with SIGKILL and come back
// on the same ports with their data; a scripted endpoint whose replies depend on
// the request alone; and a proxy between the worker and the S3 server, which sees
// every request, loses answers, repeats writes, refuses and cuts off.
//
// What is broken and when is a pure function of the seed. Moments are counted in
// events (the 12th request to S3 of the judge stage, the arrival of its second
// commit), not in time, so that a seed breaks a run in the same places again.
//
// What belongs here: the faults, the program of a run, and what must be true at
// its end. Nothing here knows how a step or the engine works; the drill starts
// workflows, sends updates and reads the store like anybody outside.
package main
