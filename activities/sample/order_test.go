package sample_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/activities/sample"
	"rpo/activities/store"
	"rpo/activities/store/steptest"
	"rpo/schemas"
)

// dialogues makes count dialogues of length turns each, shuffled over the shard.
func dialogues(count, length int) []schemas.Turn {
	var out []schemas.Turn
	for _, first := range steptest.Turns("shop", count) {
		for i := range length {
			t := first
			t.Index, t.TurnID = int64(i), schemas.ID("turn", t.DialogueID, strconv.Itoa(i))
			t.Query = fmt.Sprintf("%s turn %d", t.DialogueID, i)
			for before := range i {
				t.History = append(slices.Clone(t.History), schemas.Message{Role: "user", Content: fmt.Sprint(before)},
					schemas.Message{Role: "assistant", Content: "yes"})
			}
			out = append(out, t)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestTheTurnsOfADialogueAreAskedInOrderOneAtATime(t *testing.T) {
	var mu sync.Mutex
	next, open := map[string]int{}, map[string]bool{}
	together := make(chan struct{}) // closed when two dialogues are asked at once
	var once sync.Once
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		id, turn, _ := strings.Cut(p.Last(), " turn ")
		mu.Lock()
		if want := strconv.Itoa(next[id]); turn != want || open[id] {
			t.Errorf("dialogue %s: turn %s is asked, want turn %s, another under way: %v", id, turn, want, open[id])
		}
		next[id]++
		open[id] = true
		if len(open) > 1 {
			once.Do(func() { close(together) })
		}
		mu.Unlock()
		<-together
		mu.Lock()
		delete(open, id)
		mu.Unlock()
		return answer(p)
	})
	s := store.NewMemory("rpo")
	turns := dialogues(6, 4)
	shard, r, err := run(t, s, server.URL, steptest.Manifest(t, s, turns), options(2))
	if err != nil || r.Books != (schemas.Books{In: 24, OK: 24}) {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, row := range responses(t, s, shard) {
		turn := turns[i/2]
		req := sample.Request(turn, options(2), "scripted")
		want := fmt.Sprintf("answer %d to %s", req.Seed+int64(i%2), turn.Query)
		if row.TurnID != turn.TurnID || row.SampleIndex != int64(i%2) || row.Text != want {
			t.Errorf("row %d is %+v, want sample %d of turn %s: %q", i, row, i%2, turn.TurnID, want)
		}
	}
}

func TestARefusedTurnDoesNotEndItsDialogue(t *testing.T) {
	server := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if strings.HasSuffix(p.Last(), " turn 1") {
			return scripted.Refuse(400, "the prompt is too long")
		}
		return answer(p)
	})
	s := store.NewMemory("rpo")
	_, r, err := run(t, s, server.URL, steptest.Manifest(t, s, dialogues(3, 3)), options(1))
	if err != nil || r.Books != (schemas.Books{In: 9, OK: 6, Quarantined: 3}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTurnsAreGroupedByDialogueInTheOrderTheyWereSpoken(t *testing.T) {
	turn := func(dialogue string, index int64) schemas.Turn {
		return schemas.Turn{DialogueID: dialogue, Index: index}
	}
	got := sample.Dialogues([]schemas.Turn{turn("b", 2), turn("a", 0), turn("b", 0), turn("c", 5), turn("b", 1), turn("a", 1)})
	if want := [][]int{{2, 4, 0}, {1, 5}, {3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := sample.Dialogues(nil); len(got) != 0 {
		t.Errorf("no turns give %v", got)
	}
	for _, turn := range dialogues(5, 3) {
		if req := sample.Request(turn, options(1), "m"); req.Affinity != turn.DialogueID {
			t.Errorf("a turn of dialogue %s has affinity %q", turn.DialogueID, req.Affinity)
		}
	}
}
