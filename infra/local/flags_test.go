package main

import (
	"io"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
)

func TestTheLineOfTheSDKsDevServerIsUnderstood(t *testing.T) {
	args := strings.Fields(`server start-dev --ip 127.0.0.1 --port 4321 --namespace tests
		--dynamic-config-value frontend.enableServerVersionCheck=false --log-level warn --log-format json
		--headless --db-filename some.db --search-attribute Extra=Keyword --sqlite-pragma journal_mode=delete`)
	o, err := parseArgs(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !o.temporal || o.ui || o.s3 {
		t.Errorf("runs temporal %v, ui %v, s3 %v; want Temporal alone", o.temporal, o.ui, o.s3)
	}
	if o.port != 4321 || o.ip != "127.0.0.1" || !strings.HasSuffix(o.dbFile, "/some.db") || o.dir != "" {
		t.Errorf("port %d, ip %s, database %q, folder %q", o.port, o.ip, o.dbFile, o.dir)
	}
	if want := []string{"tests", "default"}; !reflect.DeepEqual(o.namespaces, want) {
		t.Errorf("namespaces %v, want %v", o.namespaces, want)
	}
	if got := o.dynamicConfig["frontend.enableServerVersionCheck"]; got != false {
		t.Errorf("dynamic value %v, want false", got)
	}
	if o.searchAttributes["Extra"] != enumspb.INDEXED_VALUE_TYPE_KEYWORD || o.searchAttributes["RpoScore"] != enumspb.INDEXED_VALUE_TYPE_DOUBLE {
		t.Errorf("search attributes %v", o.searchAttributes)
	}
	if o.pragmas["journal_mode"] != "delete" {
		t.Errorf("pragmas %v", o.pragmas)
	}
}

func TestWhatRunsFollowsFromTheFlags(t *testing.T) {
	for _, c := range []struct {
		args             string
		temporal, ui, s3 bool
		uiPort           int
		inFolder         bool
	}{
		{"", true, true, true, 8233, true},
		{"--headless", true, false, true, 8233, true},
		{"--only temporal --port 7000", true, true, false, 8000, true},
		{"--only s3", false, false, true, 8233, true},
		{"--port 0", true, true, true, 0, true},
		{"--port 0 --ui-port 99", true, true, true, 99, true},
		{"server start-dev", true, true, false, 8233, false},
		{"server start-dev --ui-port 0", true, true, false, 0, false},
		{"server start-dev --dir x", true, true, true, 8233, true},
		{"server start-dev -p 70 -n n -f file.db", true, true, false, 1070, false},
	} {
		o, err := parseArgs(strings.Fields(c.args), io.Discard)
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if o.temporal != c.temporal || o.ui != c.ui || o.s3 != c.s3 {
			t.Errorf("%q runs temporal %v, ui %v, s3 %v", c.args, o.temporal, o.ui, o.s3)
		}
		if o.uiPort != c.uiPort {
			t.Errorf("%q: UI port %d, want %d", c.args, o.uiPort, c.uiPort)
		}
		if (o.dir != "") != c.inFolder {
			t.Errorf("%q: folder %q", c.args, o.dir)
		}
	}
}

func TestDynamicValuesKeepTheTypesThatSettingsDemand(t *testing.T) {
	got, err := parseDynamicConfig([]string{"a=1", "b=1.5", "c=true", `d="x=y"`, `e=[1,{"f":2}]`})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"a": 1, "b": 1.5, "c": true, "d": "x=y", "e": []any{1, map[string]any{"f": 2}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestAWrongCommandLineIsRefusedWithTheFlagsName(t *testing.T) {
	for args, want := range map[string]string{
		"start":                                   `unexpected argument "start"`,
		"--prot 1":                                "prot",
		"--only ui":                               "--only",
		"--port 70000":                            "--port 70000",
		"--port 65000":                            "--ui-port (--port + 1000) 66000",
		"--s3-port -1":                            "--s3-port",
		"--ip localhost":                          "--ip",
		"--bucket UPPER":                          "--bucket",
		"--bucket 10.0.0.1":                       "--bucket",
		"--log-level loud":                        "--log-level",
		"--log-format xml":                        "--log-format",
		"--sqlite-pragma cache_size=1":            "--sqlite-pragma",
		"--dynamic-config-value a":                "KEY=VALUE",
		"--dynamic-config-value a=text":           "strings need quotes",
		"--search-attribute A=Number":             "Keyword",
		"--search-attribute RpoStage=Int":         "this project's RpoStage is a Keyword",
		"server start-dev --s3-port 1":            "--dir",
		"server start-dev --only s3":              "--dir",
		"server start-dev --dynamic-config-value": "dynamic-config-value",
	} {
		_, err := parseArgs(strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", args, err, want)
		}
	}
}

func TestABusyPortIsNamedWithItsFlag(t *testing.T) {
	busy, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	for _, name := range []string{"--port", "--ui-port", "--s3-port", "--http-port", "--metrics-port"} {
		o, err := parseArgs([]string{"--port", "0", "--ui-port", "0", "--s3-port", "0", name, port}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		err = assignPorts(o)
		if err == nil || !strings.Contains(err.Error(), loopback+":"+port+" for "+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestOnePortForTwoFlagsIsRefused(t *testing.T) {
	free, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	o, err := parseArgs([]string{"--port", port, "--ui-port", "0", "--s3-port", port}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := assignPorts(o); err == nil || !strings.Contains(err.Error(), "--s3-port") {
		t.Errorf("error %v, want one naming --s3-port", err)
	}
}

func TestPortZeroBecomesAFreePort(t *testing.T) {
	o, err := parseArgs([]string{"--port", "0", "--s3-port", "0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := assignPorts(o); err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for _, l := range o.listeners() {
		if *l.port == 0 {
			t.Errorf("%s is still 0", l.flag)
		}
		if other := seen[*l.port]; other != "" {
			t.Errorf("%s and %s share port %d", l.flag, other, *l.port)
		}
		seen[*l.port] = l.flag
	}
}
