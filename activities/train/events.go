package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"rpo/schemas"
)

// event is what the supervisor reads of a trainer's event line.
type event struct {
	Event      string  `json:"event"`
	Step       int     `json:"step"`
	Loss       float64 `json:"loss"`
	TotalSteps int     `json:"total_steps"`
	Path       string  `json:"path"`
	Phase      string  `json:"phase"`
	Done       int     `json:"done"`
	Total      int     `json:"total"`
}

// Follow returns a function that reads the progress of a growing file of event
// lines.
func Follow(path string) func() schemas.Heartbeat { return (&follower{path: path}).Progress }

// follower reads a growing file of event lines. On resume the trainer cuts what
// it will do again by putting another file in the place, which is read from its
// start.
type follower struct {
	path   string
	file   os.FileInfo // the file that offset is of
	offset int64
	beat   schemas.Heartbeat
	steps  bool // the total number of steps is known
	// checkpoints are the folders of the checkpoints that were committed since
	// they were last taken.
	checkpoints []string
}

// Progress reads what is new. An unreadable file or line is no progress: the
// result file, not this, decides how the run went.
func (f *follower) Progress() schemas.Heartbeat {
	file, err := os.Open(f.path)
	if err != nil {
		return f.beat
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f.beat
	}
	if f.file == nil || !os.SameFile(info, f.file) || info.Size() < f.offset {
		f.offset = 0
	}
	f.file = info
	data, err := io.ReadAll(io.NewSectionReader(file, f.offset, 1<<62))
	if err != nil {
		return f.beat
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	f.offset += int64(end)
	for line := range bytes.Lines(data[:end]) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		switch e.Event {
		case "start":
			if !f.steps {
				f.beat.Done = 0 // it counted a phase
			}
			f.beat.Total, f.beat.Phase, f.steps = e.TotalSteps, "", true
		case "step":
			loss := e.Loss
			f.beat.Done, f.beat.Loss, f.beat.Phase = e.Step, &loss, ""
		case "progress":
			f.beat.Phase = fmt.Sprintf("%s %d/%d", e.Phase, e.Done, e.Total)
			if !f.steps { // before the first step, or in a pass that has none
				f.beat.Done, f.beat.Total = e.Done, e.Total
			}
		case "checkpoint":
			f.checkpoints = append(f.checkpoints, e.Path)
		}
	}
	return f.beat
}
