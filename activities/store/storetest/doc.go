// Package storetest holds the acceptance suite that every store.Store must pass,
// the real S3 server it is run against, and a proxy that breaks connections the
// way networks do. Only tests may import it; knowledge of one implementation
// may not enter the suite.
package storetest
