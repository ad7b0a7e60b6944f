// Package report writes what people read after a run: one self-contained HTML
// page with its plots, and the dataset card that lies beside the pairs.
//
// HTML and DatasetCard are pure functions of their arguments: no store, no
// clock, no network, and nothing in the page that would make a browser load
// anything. Every text is untrusted, since most of it was written by a model: it
// reaches the page only through html/template's escaping and printable, the card
// only through markdown, code and quote. The activities alone read and write the
// store.
//
// What does not belong here: computing results. A figure that is not in the
// arguments is at most a ratio or a mean of figures that are.
package report
