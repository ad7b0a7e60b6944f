// Command bench measures the rules on one core over real answers: strict plus
// loose verdicts of GPT-4's answers to IFEval, again and again. Rules are
// parsed once, as in a run, where many responses meet the same constraint.
// Seconds are CPU seconds of this process, collector included, so that other
// load on the machine does not count.
//
//	go run ./activities/judge/rules/bench [FILE]
//
// FILE is a golden file with key, instruction_id, kwargs and response; without
// it, ifeval/golden_gpt4.jsonl of the test data. The last line is one JSON
// object: responses_per_s counts answers with all their verdicts,
// verdicts_per_s_without_language counts verdicts (strict and loose together
// are one) of the kinds that detect no language.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// atLeast is how long each measurement runs.
const atLeast = 3 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench rules:", err)
		os.Exit(1)
	}
}

// judged is one parsed rule and the answer it judges.
type judged struct {
	check    rules.Check
	id       string
	response string
}

func run(args []string) error {
	runtime.GOMAXPROCS(1)
	path := defaultFile()
	if len(args) > 0 {
		path = args[0]
	}
	rows, answers, err := load(path)
	if err != nil {
		return err
	}
	var withoutLanguage []judged
	for _, r := range rows {
		if !detectsLanguage[r.id] {
			withoutLanguage = append(withoutLanguage, r)
		}
	}
	judge(rows) // loads the embedded tables
	rounds, took := repeat(rows)
	perResponse := float64(rounds*answers) / took.Seconds()
	rounds, took = repeat(withoutLanguage)
	perVerdict := float64(rounds*len(withoutLanguage)) / took.Seconds()
	fmt.Printf("%d answers, %d verdicts, %d of them without language, on one core\n", answers, len(rows), len(withoutLanguage))
	line, err := json.Marshal(map[string]float64{
		"responses_per_s":                 float64(int(perResponse)),
		"verdicts_per_s_without_language": float64(int(perVerdict)),
	})
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}

var detectsLanguage = map[string]bool{
	"language:response_language": true, "change_case:english_capital": true, "change_case:english_lowercase": true,
}

func defaultFile() string {
	dir := os.Getenv("RPO_TEST_DATA")
	if dir == "" {
		dir = filepath.Join("..", "shared", "data")
	}
	return filepath.Join(dir, "ifeval", "golden_gpt4.jsonl")
}

// load parses the rules of a golden file and counts its different answers.
func load(path string) (rows []judged, answers int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open the answers (name a file, or set RPO_TEST_DATA): %w", err)
	}
	defer f.Close()
	keys := map[string]bool{}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 64<<20)
	for scan.Scan() {
		var row struct {
			Key           json.RawMessage `json:"key"`
			Model         string          `json:"model"`
			InstructionID string          `json:"instruction_id"`
			Kwargs        json.RawMessage `json:"kwargs"`
			Response      string          `json:"response"`
		}
		if err := json.Unmarshal(scan.Bytes(), &row); err != nil {
			return nil, 0, fmt.Errorf("%s line %d: %w", path, len(rows)+1, err)
		}
		canonical, err := rules.CanonicalArgs([]byte(row.Kwargs))
		if err != nil {
			return nil, 0, fmt.Errorf("%s line %d: %w", path, len(rows)+1, err)
		}
		check, err := rules.Parse(schemas.Rule{Profile: "ifeval", Kind: row.InstructionID, Args: canonical})
		if err != nil {
			return nil, 0, fmt.Errorf("%s line %d: %w", path, len(rows)+1, err)
		}
		rows = append(rows, judged{check, row.InstructionID, row.Response})
		keys[row.Model+string(row.Key)] = true
	}
	return rows, len(keys), scan.Err()
}

// passed keeps the compiler from dropping verdicts.
var passed int

func judge(rows []judged) {
	for _, r := range rows {
		strict, loose := rules.Both(r.check, r.response)
		if strict || loose {
			passed++
		}
	}
}

func repeat(rows []judged) (rounds int, took time.Duration) {
	start := cpuTime()
	for took < atLeast {
		judge(rows)
		rounds++
		took = cpuTime() - start
	}
	return rounds, took
}

// cpuTime is what this process has used of any core.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
