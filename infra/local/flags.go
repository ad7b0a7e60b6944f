package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
)

// options is a checked command line. Ports of 0 are replaced by assignPorts.
type options struct {
	temporal, ui, s3 bool

	dir    string // absolute; empty keeps nothing on disk
	dbFile string // absolute; empty keeps workflows in memory

	namespaces []string // the first is the one to use
	ip, uiIP   string
	port       int
	httpPort   int
	metricsP   int
	uiPort     int
	// uiPortDerived says that uiPort was reckoned from port, for the error text.
	uiPortDerived bool

	s3Port int
	bucket string

	uiCodecEndpoint  string
	pragmas          map[string]string
	dynamicConfig    map[string]any
	searchAttributes map[string]enumspb.IndexedValueType

	logConfig bool
	logLevel  string
	logFormat string
}

const usage = `rpo-local runs Temporal, its web UI and an S3 server in one process on loopback.

  rpo-local [flags]                    all three, with all state in --dir
  rpo-local server start-dev [flags]   the grammar of "temporal server start-dev": Temporal and its
                                       UI in memory; with --db-filename or --dir, state is kept
                                       (with --dir, S3 runs as well)

When everything is ready, one line of JSON on standard output says where. Flags:
`

// parseArgs reads the command line. It touches neither disk nor network.
func parseArgs(args []string, help io.Writer) (*options, error) {
	startDev := len(args) >= 2 && args[0] == "server" && args[1] == "start-dev"
	if startDev {
		args = args[2:]
	}
	o := &options{temporal: true, ui: true, s3: true}
	var dir, only, dbFile string
	var headless bool
	var namespaces, pragmas, dynamic, attributes list

	fs := flag.NewFlagSet("rpo-local", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&dir, "dir", ".rpo/local", "folder of all state: database, objects, credentials, log")
	fs.StringVar(&only, "only", "", "run one part alone: temporal or s3")
	fs.IntVar(&o.s3Port, "s3-port", 9000, "port of the S3 server; 0 picks a free one")
	fs.StringVar(&o.bucket, "bucket", "rpo", "bucket to create if it is missing")
	fs.StringVar(&dbFile, "db-filename", "", "SQLite file of Temporal (default: in --dir, named by the server's version)")
	fs.StringVar(&dbFile, "f", "", "short for --db-filename")
	fs.Var(&namespaces, "namespace", "namespace to create besides \"default\"; may be repeated")
	fs.Var(&namespaces, "n", "short for --namespace")
	fs.StringVar(&o.ip, "ip", "127.0.0.1", "address Temporal listens on")
	fs.IntVar(&o.port, "port", 7233, "port of Temporal (gRPC); 0 picks a free one")
	fs.IntVar(&o.port, "p", 7233, "short for --port")
	fs.IntVar(&o.httpPort, "http-port", 0, "port of Temporal's HTTP API; 0 picks a free one")
	fs.IntVar(&o.metricsP, "metrics-port", 0, "port of /metrics (Prometheus); 0 picks a free one")
	fs.StringVar(&o.uiIP, "ui-ip", "", "address the web UI listens on (default: --ip)")
	fs.IntVar(&o.uiPort, "ui-port", 0, "port of the web UI (default: --port + 1000); 0 picks a free one")
	fs.BoolVar(&headless, "headless", false, "run without the web UI")
	fs.StringVar(&o.uiCodecEndpoint, "ui-codec-endpoint", "", "URL of a remote codec for the web UI")
	fs.Var(&pragmas, "sqlite-pragma", "SQLite pragma NAME=VALUE (journal_mode, synchronous); may be repeated")
	fs.Var(&dynamic, "dynamic-config-value", "dynamic configuration KEY=JSON; may be repeated")
	fs.Var(&attributes, "search-attribute", "search attribute NAME=Type besides this project's own; may be repeated")
	fs.BoolVar(&o.logConfig, "log-config", false, "log Temporal's configuration at the start")
	fs.StringVar(&o.logLevel, "log-level", "warn", "debug, info, warn, error or never")
	fs.StringVar(&o.logFormat, "log-format", "text", "text, pretty or json")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(help, usage)
			fs.SetOutput(help)
			fs.PrintDefaults()
			return nil, err
		}
		return nil, fmt.Errorf("read the command line: %w; see rpo-local --help", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("read the command line: unexpected argument %q; see rpo-local --help", fs.Arg(0))
	}
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })

	if startDev && !set["dir"] {
		dir, o.s3 = "", false
		if only == "s3" || set["s3-port"] || set["bucket"] {
			return nil, errors.New("read the command line: the S3 server needs a folder: add --dir")
		}
	}
	o.ui = !headless
	switch only {
	case "":
	case "temporal":
		o.s3 = false
	case "s3":
		o.temporal, o.ui = false, false
	default:
		return nil, fmt.Errorf("read --only %q: want temporal or s3", only)
	}
	for name, value := range map[*string]string{&o.dir: dir, &o.dbFile: dbFile} {
		if value == "" {
			continue
		}
		absolute, err := filepath.Abs(value)
		if err != nil {
			return nil, fmt.Errorf("resolve path %q: %w", value, err)
		}
		*name = absolute
	}
	if o.uiIP == "" {
		o.uiIP = o.ip
	}
	if !set["ui-port"] && o.port != 0 {
		o.uiPort, o.uiPortDerived = o.port+1000, true
	}
	// The namespace that was asked for comes first: it is the one reported.
	for _, ns := range append(namespaces, "default") {
		if ns != "" && !slices.Contains(o.namespaces, ns) {
			o.namespaces = append(o.namespaces, ns)
		}
	}
	var err error
	if o.pragmas, err = parsePragmas(pragmas); err != nil {
		return nil, err
	}
	if o.dynamicConfig, err = parseDynamicConfig(dynamic); err != nil {
		return nil, err
	}
	if o.searchAttributes, err = parseSearchAttributes(attributes); err != nil {
		return nil, err
	}
	return o, o.check()
}

// list collects a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

var (
	logLevels   = []string{"debug", "info", "warn", "error", "never"}
	logFormats  = []string{"text", "pretty", "json"}
	pragmaNames = []string{"journal_mode", "synchronous"}
	bucketName  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

func (o *options) check() error {
	for _, a := range []struct{ flag, ip string }{{"--ip", o.ip}, {"--ui-ip", o.uiIP}} {
		if net.ParseIP(a.ip) == nil {
			return fmt.Errorf("read %s %q: want an IP address such as 127.0.0.1", a.flag, a.ip)
		}
	}
	for _, p := range o.listeners() {
		if *p.port < 0 || *p.port > 65535 {
			return fmt.Errorf("read %s %d: want a port from 0 to 65535", p.flag, *p.port)
		}
	}
	if !slices.Contains(logLevels, o.logLevel) {
		return fmt.Errorf("read --log-level %q: want one of %s", o.logLevel, strings.Join(logLevels, ", "))
	}
	if !slices.Contains(logFormats, o.logFormat) {
		return fmt.Errorf("read --log-format %q: want one of %s", o.logFormat, strings.Join(logFormats, ", "))
	}
	if !bucketName.MatchString(o.bucket) || net.ParseIP(o.bucket) != nil || strings.Contains(o.bucket, "..") {
		return fmt.Errorf("read --bucket %q: want 3 to 63 of a-z, 0-9, dot and hyphen, beginning and ending with a letter or digit", o.bucket)
	}
	return nil
}

// keyValue splits KEY=VALUE at the first equals sign.
func keyValue(flagName, s string) (key, value string, err error) {
	key, value, ok := strings.Cut(s, "=")
	if !ok || key == "" {
		return "", "", fmt.Errorf("read %s %q: want KEY=VALUE", flagName, s)
	}
	return key, value, nil
}

func parsePragmas(pairs []string) (map[string]string, error) {
	pragmas := map[string]string{}
	for _, pair := range pairs {
		k, v, err := keyValue("--sqlite-pragma", pair)
		if err != nil {
			return nil, err
		}
		k = strings.ToLower(k)
		if !slices.Contains(pragmaNames, k) {
			return nil, fmt.Errorf("read --sqlite-pragma %q: want one of %s", pair, strings.Join(pragmaNames, ", "))
		}
		pragmas[k] = v
	}
	return pragmas, nil
}

func parseDynamicConfig(pairs []string) (map[string]any, error) {
	values := map[string]any{}
	for _, pair := range pairs {
		k, v, err := keyValue("--dynamic-config-value", pair)
		if err != nil {
			return nil, err
		}
		var value any
		d := json.NewDecoder(bytes.NewReader([]byte(v)))
		d.UseNumber()
		if err := d.Decode(&value); err != nil || d.More() {
			return nil, fmt.Errorf("read --dynamic-config-value %q: the value is not JSON (strings need quotes)", pair)
		}
		values[k] = plainNumbers(value)
	}
	return values, nil
}

// plainNumbers makes whole numbers int, which dynamic configuration demands of
// integer settings, and the others float64.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	}
	return v
}

// parseSearchAttributes adds the named attributes to this project's own. The
// SQLite store has room for 10 Keywords and 3 each of Int, Double, Bool,
// Datetime, Text and KeywordList in a namespace.
func parseSearchAttributes(pairs []string) (map[string]enumspb.IndexedValueType, error) {
	attributes := projectSearchAttributes()
	for _, pair := range pairs {
		name, typeName, err := keyValue("--search-attribute", pair)
		if err != nil {
			return nil, err
		}
		t, err := enumspb.IndexedValueTypeFromString(typeName)
		if err != nil || t == enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED {
			return nil, fmt.Errorf("read --search-attribute %q: want a type of Text, Keyword, Int, Double, Bool, Datetime, KeywordList", pair)
		}
		if own, ok := attributes[name]; ok && own != t {
			return nil, fmt.Errorf("read --search-attribute %q: this project's %s is a %s", pair, name, own)
		}
		attributes[name] = t
	}
	return attributes, nil
}
