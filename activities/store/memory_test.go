package store_test

import (
	"errors"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	storetest.AcceptanceTest(t, func(*testing.T) store.Store { return store.NewMemory("rpo") })
}

func TestMemoryTellsAWinnerWhoseAcknowledgementWasLost(t *testing.T) {
	lost := schemas.Errorf(schemas.Overloaded, "connection reset")
	m := store.NewMemory("rpo")
	m.After = func(operation, key string) error {
		if operation == "put-if-absent" {
			return lost
		}
		return nil
	}
	for _, c := range []struct {
		data string
		won  bool
	}{{"first", true}, {"second", false}} {
		if won, err := m.PutIfAbsent(t.Context(), "key", []byte(c.data)); err != nil || won != c.won {
			t.Fatalf("%s: won %v, %v", c.data, won, err)
		}
	}
}

func TestMemoryReturnsTheErrorOfAConditionalWriteThatDidNotHappen(t *testing.T) {
	m := store.NewMemory("rpo")
	refused := schemas.Errorf(schemas.Overloaded, "connection refused")
	m.Before = func(operation, key string) error {
		if operation == "put-if-absent" {
			return refused
		}
		return nil
	}
	if won, err := m.PutIfAbsent(t.Context(), "key", nil); won || !errors.Is(err, refused) {
		t.Fatalf("won %v, %v", won, err)
	}
}

func TestPublishVersionTakesTheNextNumberWhenAnotherPublisherWasFaster(t *testing.T) {
	m := store.NewMemory("rpo")
	version := func(id string) schemas.DatasetVersion {
		return schemas.DatasetVersion{Dataset: "rpo", Objects: []schemas.Object{{Key: id, SHA256: id}}}
	}
	raced := false
	m.Before = func(operation, key string) error {
		if operation == "put-if-absent" && !raced {
			raced = true
			_, err := store.PublishVersion(t.Context(), m, version("faster"))
			return err
		}
		return nil
	}
	got, err := store.PublishVersion(t.Context(), m, version("slower"))
	if err != nil || got.Number != 2 || got.Parent != 1 {
		t.Fatalf("published %+v, %v", got, err)
	}
}
