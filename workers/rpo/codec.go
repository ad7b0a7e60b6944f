package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"os"
	"regexp"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"rpo/schemas"
)

// payloadKey names where a key for payloads is kept: 32 bytes in base64, in a
// file or in an environment variable. The key itself stands in no configuration.
type payloadKey struct {
	// ID goes with every payload, in the clear. It must not be given to another
	// key later.
	ID   string `json:"id"`
	File string `json:"file,omitempty"`
	Env  string `json:"env,omitempty"`
}

// encrypted is the encoding of our payloads. encryptionKeyID is the name that
// Temporal's samples use for it.
const (
	encrypted       = "binary/encrypted"
	encryptionKeyID = "encryption-key-id"
)

var keyID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// codec encrypts payloads with AES-256-GCM, so that the Temporal server and its
// database see neither inputs nor results, heartbeats, failures, queries, memos
// and summaries. Names are not payloads: ids, types, queues, types of errors and
// search attributes stay readable. Each payload is sealed together with its key's
// id under a nonce of its own; 2^32 payloads are the most for one key.
type codec struct {
	// first encrypts, all decrypt.
	first string
	keys  map[string]cipher.AEAD
	ids   []string
	// patient makes what cannot be decrypted a panic, as the codec of a worker
	// must: it fails the workflow task or the attempt, which Temporal gives to
	// other workers until one has the key, where an error would fail the workflow.
	patient bool
}

// newCodec reads the keys; it returns nil if there are none. Relative files are
// relative to root.
func newCodec(refs []payloadKey, root string) (*codec, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	c := &codec{first: refs[0].ID, keys: map[string]cipher.AEAD{}}
	for i, ref := range refs {
		switch {
		case !keyID.MatchString(ref.ID):
			return nil, schemas.Errorf(schemas.InvalidInput, "payload_keys[%d]: id %q is not 1 to 64 of letters, digits, dot, dash and underscore", i, ref.ID)
		case c.keys[ref.ID] != nil:
			return nil, schemas.Errorf(schemas.InvalidInput, "payload_keys[%d]: id %q is there already", i, ref.ID)
		case (ref.File == "") == (ref.Env == ""):
			return nil, schemas.Errorf(schemas.InvalidInput, "payload key %q needs either file or env", ref.ID)
		}
		source := "variable " + ref.Env
		text := os.Getenv(ref.Env)
		if ref.File != "" {
			source = "file " + resolve(root, ref.File)
			data, err := os.ReadFile(resolve(root, ref.File))
			if err != nil {
				return nil, schemas.Errorf(schemas.NotFound, "read payload key %q: %w", ref.ID, err)
			}
			text = string(data)
		}
		// A decoding error would quote the key.
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(key) != 32 {
			return nil, schemas.Errorf(schemas.InvalidInput, "payload key %q in %s is not 32 bytes in base64: make one with openssl rand -base64 32", ref.ID, source)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, schemas.Errorf(schemas.Internal, "set up payload key %q: %w", ref.ID, err)
		}
		if c.keys[ref.ID], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, schemas.Errorf(schemas.Internal, "set up payload key %q: %w", ref.ID, err)
		}
		c.ids = append(c.ids, ref.ID)
	}
	return c, nil
}

// converters are what a client or worker converts payloads and failures with.
func (c *codec) converters() (converter.DataConverter, converter.FailureConverter) {
	data := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
	// Messages and stack traces quote inputs.
	return data, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: data, EncodeCommonAttributes: true})
}

func bound(id string) []byte { return []byte(encrypted + "\x00" + id) }

// Encode implements converter.PayloadCodec.
func (c *codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, schemas.Errorf(schemas.Internal, "encode payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encrypted), encryptionKeyID: []byte(c.first)},
			Data:     c.keys[c.first].Seal(nil, nil, plain, bound(c.first)),
		}
	}
	return out, nil
}

// Decode implements converter.PayloadCodec. Payloads that nobody encrypted pass
// unchanged, so that encryption can be turned on while workflows run.
func (c *codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := c.open(p)
		if err != nil && c.patient {
			panic(err)
		}
		if err != nil {
			return nil, err
		}
		out[i] = plain
	}
	return out, nil
}

func (c *codec) open(p *commonpb.Payload) (*commonpb.Payload, error) {
	if string(p.GetMetadata()[converter.MetadataEncoding]) != encrypted {
		return p, nil
	}
	id := string(p.GetMetadata()[encryptionKeyID])
	key, ok := c.keys[id]
	if !ok {
		return nil, schemas.Errorf(schemas.InvalidInput, "decrypt payload: it needs key %.64q and payload_keys names only %s: add it", id, strings.Join(c.ids, ", "))
	}
	plain, err := key.Open(nil, nil, p.GetData(), bound(id))
	if err != nil {
		return nil, schemas.Errorf(schemas.CorruptData, "decrypt payload: it was altered, or its key %q is another one than here", id)
	}
	out := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, out); err != nil {
		return nil, schemas.Errorf(schemas.CorruptData, "decrypt payload: %w", err)
	}
	return out, nil
}

// codecOf reads the payload keys of the configuration at path, by default the one
// that RPO_CONFIG names.
func codecOf(path string) (*codec, error) {
	c, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	return c.codec()
}

func (c config) codec() (*codec, error) { return newCodec(c.PayloadKeys, c.root) }
