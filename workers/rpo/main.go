// Command rpo is the one Go program: the worker that runs workflows and
// activities, and the commands that start and watch them.
//
// What belongs here: flags, configuration, connections, printing. The method is
// in activities, the order of steps in workflows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"rpo/activities/refresh"
	"rpo/schemas"
)

// command is one subcommand.
type command struct {
	name, arguments, help string
	run                   func(ctx context.Context, args []string) error
}

var commands = []command{
	{"quickstart", "[--once] [--json] [--dir DIR]", "run the whole method on the bundled profiles with a local stack", quickstartCommand},
	{"worker", "[--queues LIST] [--config FILE] [--metrics-address HOST:PORT]", "serve task queues", workerCommand},
	{"codec", "[--listen HOST:PORT] [--ui ADDRESS] [--config FILE]", "decrypt payloads for the web UI", codecCommand},
	{"import", "[--format NAME] FILE", "import profiles; prints the manifest that RunPipeline takes", importCommand},
	{"start", "WORKFLOW [--input FILE] [--id ID] [--wait]", "start a workflow", startCommand},
	{"seed", "[WORKFLOW]... [--endpoint NAME] [--judge-endpoint NAME] [--eval-endpoint NAME] [--base-model NAME]", "leave an example run of each workflow, so that the web UI's form is filled", seedCommand},
	{"status", "WORKFLOW_ID", "print a workflow's status as JSON", statusCommand},
	{"update", "WORKFLOW_ID NAME [JSON]", "tell a stage retry_failed, skip_failed, raise_budget, pause, resume or stop", updateCommand},
	{"retry", "[--query QUERY] [--rate 20] [--error-type TYPE]... [--endpoint NAME] [--dry-run]", "have parked runs work on their failed shards again", retryCommand},
	{"quarantine", "list|export|requeue|merge MANIFEST|JOB [FILE] [--error-type TYPE]... [--since AGE] [--until AGE] [--input FILE]", "look at the rows that a stage set aside and bring them back", quarantineCommand},
	{"dataset", "list|show|pin|unpin|export|forget [NAME] [VERSION] [--version N] [--format parquet|jsonl] [--to DIR]", "look at data sets, keep versions from collection, write them as folders, forget rows", datasetCommand},
	{"changes", "--manifest MANIFEST|JOB | --dataset NAME [--version N] [--input FILE] [--turns 200]", "say which rows the present code would make different, without a paid call", changesCommand},
	{"collect", "[--delete] [--grace 168h] [--runs AGE] [--cache AGE]", "list or delete what nothing in the bucket names any more", collectCommand},
	{"model", "list|show|export [NAME[@VERSION]] [--part adapter|merged|gguf] [--to DIR]", "look at promoted models and write their files as a folder", modelCommand},
	{"schedule", "apply FILE | list [--check] | trigger|pause|unpause|backfill|delete ID", "keep schedules as a file says, and see how fresh they are", scheduleCommand},
	{"verify", "[--profile NAME] [--summary] [FILE|-]", "judge JSON lines by rule", verifyCommand},
	{"pairs", "--sysbench FILE...", "count the training pairs of published verdicts", pairsCommand},
}

// errPrinted is a failure that was reported already.
var errPrinted = errors.New("reported")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	os.Exit(run(ctx, os.Args[1:]))
}

// run returns the exit status: 0, 1 for a failure, 2 for a wrong command line.
func run(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(os.Stdout)
		return 0
	}
	if args[0] == refresh.ReadParquetCommand {
		// A child of a worker: it reads a file that may end it.
		if err := refresh.ReadParquet(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:])
		flushTraces()
		switch {
		case err == nil || errors.Is(err, flag.ErrHelp):
			return 0
		case !errors.Is(err, errPrinted):
			fmt.Fprintf(os.Stderr, "rpo %s: %v\n", c.name, err)
		}
		if schemas.TypeOf(err) == usageError {
			return 2
		}
		return 1
	}
	fmt.Fprintf(os.Stderr, "rpo: unknown command %q\n\n", args[0])
	usage(os.Stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: rpo COMMAND [ARGUMENTS]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  rpo %s %s\n      %s\n", c.name, c.arguments, c.help)
	}
	fmt.Fprintf(w, "\nTemporal is reached by the variables and profile file of the temporal CLI\n"+
		"(TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, ...), S3 by those of the AWS SDK\n"+
		"(AWS_ENDPOINT_URL_S3, AWS_PROFILE, ...) and RPO_BUCKET. %s names the\nworker's configuration. Traces go where %s says.\n", configEnv, otlpEndpointEnv)
}

// usageError is a wrong command line.
const usageError schemas.ErrorType = "Usage"

// parseFlags parses flags and demands the named arguments.
func parseFlags(flags *flag.FlagSet, args []string, names ...string) ([]string, error) {
	rest, err := parseArguments(flags, args)
	if err == nil && len(rest) != len(names) {
		err = schemas.Errorf(usageError, "want %d arguments (%s), got %d", len(names), strings.Join(names, " "), len(rest))
	}
	return rest, err
}

// parseArguments lets flags and arguments stand in any order and returns the
// arguments.
func parseArguments(flags *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			// The flag package has printed the error and the flags.
			return nil, &schemas.Error{Type: usageError, Message: err.Error(), Cause: errPrinted}
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}
