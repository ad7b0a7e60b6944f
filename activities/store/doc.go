// Package store keeps what the steps make: immutable data objects named by the
// hash of their bytes, commit records that make a shard done, manifests that
// name the shards of a stage, and numbered dataset versions.
//
// Store is the narrow interface over an object store, with S3 and Memory as its
// implementations; storetest holds the suite that both must pass. The functions
// over it know the layout:
//
//	data/<table>/<sha256>.parquet            rows, immutable
//	runs/<job>/<stage>/shard-00042.json      commit record, first writer wins
//	runs/<job>/<stage>/manifest.json         shards of a stage
//	imports/<sha256>.json                    manifest of an import
//	supplements/<sha256>.json                manifest of requeued rows
//	datasets/<name>/v000001.json             dataset version, first writer wins
//	datasets/<name>/pins/v000001.json        keeps that version from collection
//
// What may not enter: anything that knows what a row means, and any cache or
// lock whose loss would make a shard done twice. Nothing here is written in
// place by two writers: what must be decided once goes through PutIfAbsent.
package store
