package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives/timestamp"
	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// retention is how long closed runs stay to be looked at. The servers' default
// for a namespace made in the database is one day.
const retention = 30 * 24 * time.Hour

// clusterName is written into the database: it can never change.
const clusterName = "active"

// sqliteConfig names the database to the server: a file, or a database in
// memory that ends with the process.
func sqliteConfig(dbFile string, pragmas map[string]string) *config.SQL {
	c := &config.SQL{PluginName: sqliteplugin.PluginName, ConnectAttributes: map[string]string{}}
	if dbFile == "" {
		c.DatabaseName = fmt.Sprintf("rpo-local-%d", os.Getpid())
		c.ConnectAttributes["mode"] = "memory"
		c.ConnectAttributes["cache"] = "shared"
	} else {
		// The name becomes the path of a URI, in which ?, # and % have a meaning.
		c.DatabaseName = (&url.URL{Path: dbFile}).EscapedPath()
		c.ConnectAttributes["mode"] = "rwc"
		// Safe against a killed process; a power cut may lose the last moments,
		// but leaves the database whole.
		c.ConnectAttributes["journal_mode"] = "wal"
		c.ConnectAttributes["synchronous"] = "normal"
	}
	for k, v := range pragmas {
		c.ConnectAttributes[k] = v
	}
	return c
}

// prepareDatabase makes schema and namespaces where they are missing. It runs
// before the server, which would otherwise learn of a new namespace only at
// the next refresh of its cache.
func prepareDatabase(c *config.SQL, dbFile string, o *options) error {
	if dbFile != "" {
		if err := createSchema(dbFile, c.DatabaseName); err != nil {
			return fmt.Errorf("prepare the database %s: %w", dbFile, err)
		}
	}
	var namespaces []*sqliteschema.NamespaceConfig
	for _, name := range o.namespaces {
		ns, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, o.searchAttributes)
		if err != nil {
			return fmt.Errorf("prepare namespace %s: %w", name, err)
		}
		ns.Detail.Config.Retention = timestamp.DurationPtr(retention)
		namespaces = append(namespaces, ns)
	}
	if err := sqliteschema.CreateNamespaces(c, namespaces...); err != nil {
		return fmt.Errorf("make namespaces in the database: %w", err)
	}
	return nil
}

// createSchema makes all tables in one transaction, so that a start killed
// half-way leaves a database that the next start completes. The server's own
// SetupSchema executes statement by statement.
func createSchema(dbFile, uriPath string) (err error) {
	if err := os.MkdirAll(filepath.Dir(dbFile), 0o700); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+uriPath+"?mode=rwc&_pragma=journal_mode(wal)")
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := db.Close(); err == nil {
			err = closeErr
		}
	}()
	var tables int
	if err := db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'namespaces'`).Scan(&tables); err != nil {
		return err
	}
	if tables > 0 {
		return nil
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	if err := sqliteschema.SetupSchemaOnDB(schemaTransaction{tx: tx}); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// schemaTransaction lets the server's schema statements run in a transaction.
// Exec is the one method that setting up a schema calls.
type schemaTransaction struct {
	sqlplugin.AdminDB
	tx *sql.Tx
}

func (s schemaTransaction) Exec(stmt string, args ...any) error {
	_, err := s.tx.Exec(stmt, args...)
	return err
}

// projectSearchAttributes are the attributes by which runs of this project are
// found. The names are public: add, never rename.
func projectSearchAttributes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		"RpoStage":        enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"RpoStatus":       enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"RpoDataset":      enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"RpoModel":        enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"RpoJob":          enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"RpoOwner":        enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"RpoShardsTotal":  enumspb.INDEXED_VALUE_TYPE_INT,
		"RpoShardsFailed": enumspb.INDEXED_VALUE_TYPE_INT,
		"RpoScore":        enumspb.INDEXED_VALUE_TYPE_DOUBLE,
	}
}
