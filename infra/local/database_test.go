package main

import (
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func tables(t *testing.T, c string) int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+c+"?mode=rwc")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table'`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestASchemaIsMadeWholeOrNotAtAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	path := sqliteConfig(file, nil).DatabaseName
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rwc")
	if err != nil {
		t.Fatal(err)
	}
	// A table that the schema makes late stops it after many others.
	if _, err := db.Exec(`CREATE TABLE executions_visibility (x INT)`); err != nil {
		t.Fatal(err)
	}
	if err := createSchema(file, path); err == nil {
		t.Fatal("the schema was made over a table in its way")
	}
	if n := tables(t, path); n != 1 {
		t.Fatalf("%d tables after a failed start, want the 1 from before", n)
	}
	if _, err := db.Exec(`DROP TABLE executions_visibility`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if err := createSchema(file, path); err != nil {
		t.Fatalf("the next start: %v", err)
	}
	whole := tables(t, path)
	if err := createSchema(file, path); err != nil {
		t.Fatalf("a start on a whole schema: %v", err)
	}
	if again := tables(t, path); again != whole || whole < 10 {
		t.Errorf("%d tables, then %d", whole, again)
	}
}

func TestAFolderWithCharactersThatMeanSomethingInURIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "50% of #1? yes")
	file := filepath.Join(dir, "temporal.db")
	o, err := parseArgs(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := prepareDatabase(sqliteConfig(file, nil), file, o); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() == 0 {
		t.Error("the database is empty")
	}
}
