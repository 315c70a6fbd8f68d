// Package zonesign signs the RRsets of a zone while they are asked for, in wire form: RRsets and keys
// go in, complete RRSIG RDATA comes out (RFC 4034, RFC 4035 2), and so do the NSEC records of compact
// denial of existence (RFC 9824).
//
// Three things never happen. No signature leaves that was made by a key outside the DNSKEY RRset as
// it is served, or that does not verify: a KeySet is that RRset and its signers in one value. None is
// handed out that may end while its RRset is still in a cache. And nothing is stored for a name that
// nobody configured, so that a flood of random names neither evicts nor delays what a CA asks for.
//
// The way through: LoadKey reads a Key, NewKeySet says who signs what in one zone, NewRRset
// or NSEC makes an RRset, and a Signer signs it and keeps the signatures.
package zonesign
