package main

import (
	"strings"
	"testing"

	"rpo/activities/store"
	"rpo/activities/store/storetest"
	"rpo/schemas"
)

// bucketServer starts an S3 server that commands connect to.
func bucketServer(t *testing.T) store.Store {
	t.Helper()
	server := storetest.StartServer(t)
	s := server.Open(t, "")
	t.Setenv("RPO_BUCKET", server.Bucket)
	t.Setenv(configEnv, "")
	return s
}

func TestForgettingIsRefusedWhileAVersionIsPinnedAndThenLeavesANewOne(t *testing.T) {
	s := bucketServer(t)
	published(t, s)
	command := func(args string) error { return datasetCommand(t.Context(), strings.Fields(args)) }
	// The pairs of the data set are all of one profile, whose row nobody wrote.
	p := schemas.Profile{ProfileID: "p", Source: "town", SourceID: "user-1", Split: schemas.SplitTrain, System: "a"}
	if _, err := store.PutRows(t.Context(), s, schemas.TableProfile, []schemas.Profile{p}); err != nil {
		t.Fatal(err)
	}
	if err := store.Pin(t.Context(), s, "d", 1, ""); err != nil {
		t.Fatal(err)
	}
	if err := command("forget d --profile p --no-open-runs"); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), "rpo dataset unpin d 1") {
		t.Fatalf("with a pin: %v", err)
	}
	if err := command("unpin d 1"); err != nil {
		t.Fatal(err)
	}
	if err := command("forget d --profile nobody --no-open-runs"); schemas.TypeOf(err) != schemas.NotFound {
		t.Errorf("an unknown profile gives %v", err)
	}
	if err := command("forget d --profile p --dry-run"); err != nil {
		t.Fatal(err)
	}
	if v, _, _ := store.LatestVersion(t.Context(), s, "d"); v.Number != 1 {
		t.Fatalf("a dry run published version %d", v.Number)
	}
	if err := command("forget d --profile p --no-open-runs"); err != nil {
		t.Fatal(err)
	}
	v, _, err := store.LatestVersion(t.Context(), s, "d")
	if err != nil || v.Number != 2 || len(v.Objects) != 0 {
		t.Errorf("version %+v, %v", v, err)
	}
	if err := command("export d --version 1 --to " + t.TempDir() + "/x"); err == nil || !strings.Contains(err.Error(), "version 2 holds the rest") {
		t.Errorf("exporting version 1 gives %v", err)
	}
	if err := command("list"); err != nil {
		t.Error(err)
	}
}

func TestCollectingNeedsToKnowTheOpenRunsAndListsByDefault(t *testing.T) {
	s := bucketServer(t)
	published(t, s)
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	if err := collectCommand(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "--no-open-runs") {
		t.Errorf("without Temporal: %v", err)
	}
	if err := collectCommand(t.Context(), []string{"--no-open-runs", "--grace", "1m"}); schemas.TypeOf(err) != schemas.InvalidInput {
		t.Errorf("a grace of a minute: %v", err)
	}
	if err := collectCommand(t.Context(), []string{"--no-open-runs", "--delete"}); err != nil {
		t.Error(err)
	}
	if _, err := store.Version(t.Context(), s, "d", 1); err != nil {
		t.Error(err)
	}
}
