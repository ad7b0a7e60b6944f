package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"maps"
	"net/url"

	"rpo/activities/chat"
	"rpo/activities/train"
	"rpo/schemas"
)

// configEnv names the worker's configuration file.
const configEnv = "RPO_CONFIG"

// config is the worker's own configuration: what stands behind the names that
// inputs use. Addresses and keys live here and nowhere else.
type config struct {
	// Bucket holds everything. RPO_BUCKET overrides it. Default "rpo".
	Bucket string `json:"bucket,omitempty"`
	// UI is the address of Temporal's web UI, for links in reports.
	UI string `json:"ui,omitempty"`
	// Objects is an address below which the bucket's objects open in a browser, for
	// links in the web UI: the object of key k is at objects + k. Default: none.
	Objects string `json:"objects,omitempty"`
	// WorkDir holds local data of jobs under way; it may be lost. Default ".rpo/work".
	WorkDir string `json:"work_dir,omitempty"`
	// Python runs the trainer and its model server. Default ".venv/bin/python".
	Python string `json:"python,omitempty"`
	// Trainer is the folder of the trainer's package. Default "workers/trainer".
	Trainer string `json:"trainer,omitempty"`
	// Device is "cpu" or "cuda". Default "cpu".
	Device string `json:"device,omitempty"`
	// Threads of a training process on a CPU; 0 leaves it to PyTorch.
	Threads int `json:"threads,omitempty"`
	// PricePerHour is what a GPU, or on a CPU a training process, costs, in the
	// currency of the endpoints' prices: training plans predict their cost from it.
	PricePerHour float64 `json:"price_per_hour,omitempty"`
	// Models maps names to local Hugging Face folders.
	Models map[string]string `json:"models,omitempty"`
	// Pool makes this host a node of a pool, for training on several hosts. Default:
	// it trains alone what the queue rpo-gpu brings.
	Pool *poolNode `json:"pool,omitempty"`
	// Endpoints maps names to model endpoints.
	Endpoints map[string]endpoint `json:"endpoints,omitempty"`
	// PayloadKeys encrypt what goes to Temporal: the first encrypts, all decrypt.
	// Default: none, payloads are plain.
	PayloadKeys []payloadKey `json:"payload_keys,omitempty"`

	// root is the folder that relative paths are relative to.
	root string
}

// endpoint is a remote endpoint (url) or one that the worker serves itself from
// a model folder or a trained model (serve).
type endpoint struct {
	URL     string           `json:"url,omitempty"`
	Model   string           `json:"model,omitempty"`
	KeyEnv  string           `json:"key_env,omitempty"`
	KeyFile string           `json:"key_file,omitempty"`
	Timeout schemas.Duration `json:"timeout,omitempty"`
	// Revision, Price, Stream, IdleTimeout and Replicas are as in chat.Endpoint.
	Revision    string           `json:"revision,omitempty"`
	Price       *chat.Price      `json:"price,omitempty"`
	Stream      bool             `json:"stream,omitempty"`
	IdleTimeout schemas.Duration `json:"idle_timeout,omitempty"`
	Replicas    []string         `json:"replicas,omitempty"`
	// Concurrency bounds the requests under way from this worker for each model;
	// how many the server takes below it is found out. Default 1024, and its slots
	// for a model that the worker serves.
	Concurrency int    `json:"concurrency,omitempty"`
	Serve       *serve `json:"serve,omitempty"`
}

// serve starts llama.cpp's server on loopback.
type serve struct {
	// Model is a name under models.
	Model string `json:"model"`
	// Slots answer at the same time, each with Context tokens.
	Slots   int `json:"slots,omitempty"`
	Context int `json:"context,omitempty"`
	Threads int `json:"threads,omitempty"`
}

// loadConfig reads the file that path or RPO_CONFIG names. Without one the
// defaults hold and there are no endpoints. Relative paths are relative to the
// file, so that a configuration means the same wherever a worker starts.
func loadConfig(path string) (config, error) {
	var c config
	path = cmp.Or(path, os.Getenv(configEnv))
	root := "."
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return c, schemas.Errorf(schemas.NotFound, "read worker configuration: %w", err)
		}
		if err := schemas.DecodeStrict(data, &c); err != nil {
			return c, schemas.Errorf(schemas.InvalidInput, "worker configuration %s: %w", path, err)
		}
		root = filepath.Dir(path)
	}
	// Child processes have working folders of their own.
	root, err := filepath.Abs(root)
	if err != nil {
		return c, schemas.Errorf(schemas.Internal, "find the configuration's folder: %w", err)
	}
	c.root = root
	c.Bucket = cmp.Or(os.Getenv("RPO_BUCKET"), c.Bucket, "rpo")
	c.WorkDir = resolve(root, cmp.Or(c.WorkDir, ".rpo/work"))
	if c.Python = cmp.Or(c.Python, ".venv/bin/python"); strings.Contains(c.Python, "/") {
		c.Python = resolve(root, c.Python) // a bare name is looked up in PATH
	}
	c.Trainer = resolve(root, cmp.Or(c.Trainer, "workers/trainer"))
	c.Device = cmp.Or(c.Device, "cpu")
	if c.Pool != nil {
		if err := c.Pool.complete(c.Device); err != nil {
			return c, err
		}
	}
	for name, dir := range c.Models {
		c.Models[name] = resolve(root, dir)
	}
	return c, c.validate(path)
}

func (c config) validate(path string) error {
	fail := func(format string, args ...any) error {
		return schemas.Errorf(schemas.InvalidInput, "worker configuration %s: "+format, append([]any{path}, args...)...)
	}
	if c.Device != "cpu" && c.Device != "cuda" {
		return fail("device %q is not cpu or cuda", c.Device)
	}
	if !(c.PricePerHour >= 0) {
		return fail("price_per_hour %v is negative", c.PricePerHour)
	}
	if c.Pool != nil {
		if reason := c.Pool.validate(); reason != "" {
			return fail("pool: %s", reason)
		}
	}
	if u, err := url.Parse(c.Objects); c.Objects != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || !strings.HasSuffix(c.Objects, "/")) {
		return fail("objects %q is not an http or https address that ends with a slash", c.Objects)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Endpoints)) {
		e := c.Endpoints[name]
		switch {
		case (e.URL == "") == (e.Serve == nil):
			return fail("endpoint %q needs either url or serve", name)
		case e.Serve != nil && c.Models[e.Serve.Model] == "":
			return fail("endpoint %q serves model %q, which is not under models", name, e.Serve.Model)
		case e.Concurrency < 0:
			return fail("endpoint %q: concurrency is negative", name)
		case e.Serve != nil && len(e.Replicas) > 0:
			return fail("endpoint %q is served by the worker itself: replicas go with url", name)
		}
		remote := e.remote(name)
		if e.Serve != nil {
			remote.URL = "http://127.0.0.1" // known once it is started
		}
		if _, err := chat.New(remote); err != nil {
			return fail("%w", err)
		}
	}
	return nil
}

func resolve(root, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(root, path)
}

func (e endpoint) remote(name string) chat.Endpoint {
	most, price := e.Concurrency, e.Price
	if e.Serve != nil {
		most = cmp.Or(most, e.Serve.Slots, serveSlots)
		price = cmp.Or(price, &chat.Price{}) // the worker's own machine
	}
	return chat.Endpoint{Name: name, URL: e.URL, Model: e.Model, KeyEnv: e.KeyEnv, KeyFile: e.KeyFile, Timeout: timeout(e),
		Revision: e.Revision, Price: price, Stream: e.Stream, IdleTimeout: time.Duration(e.IdleTimeout), Replicas: e.Replicas,
		MaxConcurrency: most}
}

func (c config) node() train.Node {
	n := train.Node{Python: c.Python, PackageDir: c.Trainer, WorkDir: c.WorkDir, Device: c.Device, Threads: c.Threads, Models: c.Models,
		PricePerHour: c.PricePerHour}
	if c.Pool != nil {
		n.Address = c.Pool.Address
	}
	return n
}
