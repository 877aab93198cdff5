// Package trace keeps the journal: the writer that all executions share, the
// reader of what it wrote, and the documents that records change. It owns
// Badger.
//
// Every stream is a hash chain. Every execution is a leaf of a Merkle log from
// its first record. All records of a store form one more chain in the order of
// their positions, so one digest covers every open head. A signed checkpoint of
// both stands in a file beside the database: whoever removes, truncates or
// restores the database alone is found out at the next Open.
//
// Reads run at the timestamp of the last finished commit, hence they never show
// what is not on disk.
package trace
