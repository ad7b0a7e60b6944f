// Package refresh tells which profiles of a source a data set has not consumed
// yet, and writes them as an import of their own for the stages to work on.
//
// What belongs here: reading sources and the watermark that versions carry. How
// profiles are read is in profile, how versions are published in pair; no clock
// may enter, since what is new is told by content alone.
package refresh
