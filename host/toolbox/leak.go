package toolbox

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	mathbits "math/bits"
	"net/http"
	"slices"
)

// leakGuard finds secrets in what comes back, and in what guests send: as they are, in base64
// (both alphabets, at any place of a longer encoding, folded into lines), in
// hexadecimal, and each of these escaped for URLs, JSON or HTML, wholly or in
// part, also twice. It is made for servers that echo a request (debug pages,
// error messages, mirrors). It is no defence against a server that wants to tell
// the guest: that one has the secret and can write it in any way it likes.
type leakGuard struct{ needles []needle }

type needle struct {
	text    []byte
	fold    bool // letters match in either case: hexadecimal
	unbroke bool // also looked for with white space taken out: base64
}

// add takes what the secret looks like; the caller may wipe the secret itself.
// Of user:password the password is a secret of its own, where it has least bytes.
func (g *leakGuard) add(secret []byte, least int) {
	g.addOne(secret)
	if _, password, ok := bytes.Cut(secret, []byte(":")); ok && len(password) >= least {
		g.addOne(password)
	}
}

func (g *leakGuard) addOne(secret []byte) {
	if slices.ContainsFunc(g.needles, func(n needle) bool { return bytes.Equal(n.text, secret) }) {
		return
	}
	g.needles = append(g.needles,
		needle{text: bytes.Clone(secret)},
		needle{text: hex.AppendEncode(nil, secret), fold: true})
	for offset := range 3 {
		std := base64Core(base64.RawStdEncoding, secret, offset)
		url := base64Core(base64.RawURLEncoding, secret, offset)
		g.needles = append(g.needles, needle{text: std, unbroke: true})
		if !bytes.Equal(std, url) {
			g.needles = append(g.needles, needle{text: url, unbroke: true})
		}
	}
}

// base64Core is the part of the encoding that the secret alone decides when it
// stands offset bytes (mod 3) into the encoded text: a character carries six
// bits, and the first and last may share theirs with a neighbour.
func base64Core(encoding *base64.Encoding, secret []byte, offset int) []byte {
	padded := append(make([]byte, offset), secret...)
	text := encoding.AppendEncode(nil, padded)
	clear(padded)
	from, to := (offset*8+5)/6, len(padded)*8/6
	return text[from:to]
}

// wipe overwrites the patterns.
func (g *leakGuard) wipe() {
	for _, n := range g.needles {
		clear(n.text)
	}
	g.needles = nil
}

// found reports whether text holds a secret.
func (g *leakGuard) found(text []byte) bool {
	if len(g.needles) == 0 {
		return false
	}
	for _, form := range [][]byte{text, unescape(text, '%'), unescape(text, '\\'), unescape(text, '&')} {
		if form != nil && g.foundIn(form) {
			return true
		}
	}
	return false
}

func (g *leakGuard) foundIn(text []byte) bool {
	return g.scan(text, false) || g.scan(withoutSpace(text), true)
}

// foundInHeader looks through names and values.
func (g *leakGuard) foundInHeader(status string, header http.Header) bool {
	var text bytes.Buffer
	text.WriteString(status)
	for name, values := range header {
		text.WriteString("\n" + name)
		for _, value := range values {
			text.WriteString("\n" + value)
		}
	}
	return g.found(text.Bytes())
}

// scan looks for the needles at every place of text at once. An escape is
// decoded once there, not once a needle: a body may hold nothing else. A needle costs
// nothing where none of its readings has begun and its first two bytes do not stand.
func (g *leakGuard) scan(text []byte, unbroke bool) bool {
	p := g.passOf(unbroke)
	for i, c := range text {
		escape := escapes[c]
		begins := escape || i+1 == len(text) || escapes[text[i+1]] || p.pairs.has(c, text[i+1])
		if !begins && len(p.active) == 0 {
			continue
		}
		r := reading{plain: c}
		if escape {
			r.decoded, r.size = decodeEscape(text[i:], 0)
		}
		if p.goOn(i, r) || (begins && (p.begin(i, c, r) || (r.size > 0 && p.begin(i, r.decoded[0], r)))) {
			return true
		}
	}
	return false
}

// pass is one reading of one text.
type pass struct {
	starts [256][]*search // by the bytes that they begin with
	pairs  pairs          // the first two bytes of any
	active []*search      // those that have begun
}

func (g *leakGuard) passOf(unbroke bool) *pass {
	p := &pass{}
	for i := range g.needles {
		n := &g.needles[i]
		if unbroke && !n.unbroke {
			continue
		}
		s := &search{needle: n, last: -1, seen: -1}
		for _, first := range n.cases(0) {
			p.starts[first] = append(p.starts[first], s)
			for _, second := range n.cases(1) {
				p.pairs.add(first, second)
			}
		}
	}
	return p
}

// goOn reads a place for the searches that have begun, and lets those go that end.
func (p *pass) goOn(place int, r reading) bool {
	going := p.active[:0]
	for _, s := range p.active {
		if s.step(place, r) {
			return true
		}
		if s.last > place {
			going = append(going, s)
		}
	}
	p.active = going
	return false
}

// begin reads a place for the searches whose needle begins with first.
func (p *pass) begin(place int, first byte, r reading) bool {
	for _, s := range p.starts[first] {
		if s.seen == place {
			continue
		}
		if s.step(place, r) {
			return true
		}
		if s.last > place {
			p.active = append(p.active, s)
		}
	}
	return false
}

// pairs is a set of two bytes.
type pairs [1 << 16 / 64]uint64

func (p *pairs) add(a, b byte) { p[int(a)<<2|int(b)>>6] |= 1 << (b & 63) }

func (p *pairs) has(a, b byte) bool { return p[int(a)<<2|int(b)>>6]&(1<<(b&63)) != 0 }

// cases are the bytes that a byte of the needle is found as.
func (n *needle) cases(at int) []byte {
	c := n.text[at]
	if n.fold && 'a' <= c && c <= 'f' {
		return []byte{c, c - 'a' + 'A'}
	}
	return []byte{c}
}

// reading is what stands at a place of the text: a byte, and the escape that it
// begins (size 0: none).
type reading struct {
	plain   byte
	decoded []byte
	size    int
}

// search is one pass of one needle. A byte of the text can often be read both as
// it is and as an escape; reached[place] are the numbers of bytes found that some
// reading has come to, so each is followed once and the work stays linear in the
// text, whatever it holds.
type search struct {
	*needle
	reached [longestEntity + 1]bits // by place, in a ring: no escape is longer
	last    int                     // the furthest place with any
	seen    int                     // the last place that was read
}

// step reads one place. True where the needle is complete.
func (s *search) step(place int, r reading) bool {
	s.seen = place
	starts := s.same(r.plain, s.text[0]) || (r.size > 0 && s.same(r.decoded[0], s.text[0]))
	if place > s.last && !starts {
		return false
	}
	here := &s.reached[place%len(s.reached)]
	here.set(0)
	defer here.clear()
	for found := range here.all {
		rest := s.text[found:]
		if s.same(r.plain, rest[0]) && s.advance(place+1, found+1) {
			return true
		}
		if r.size > 0 && s.prefix(rest, r.decoded) && s.advance(place+r.size, found+len(r.decoded)) {
			return true
		}
	}
	return false
}

func (s *search) advance(place, found int) bool {
	if found == len(s.text) {
		return true
	}
	s.reached[place%len(s.reached)].set(found)
	s.last = max(s.last, place)
	return false
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(n int) {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b *bits) clear() { *b = (*b)[:0] }

// all yields the members in order.
func (b *bits) all(yield func(int) bool) {
	for i, word := range *b {
		for ; word != 0; word &= word - 1 {
			if !yield(i*64 + mathbits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

func (n *needle) same(a, b byte) bool {
	if n.fold && 'A' <= a && a <= 'F' {
		a += 'a' - 'A'
	}
	return a == b
}

func (n *needle) prefix(rest, decoded []byte) bool {
	if len(decoded) > len(rest) {
		return false
	}
	for i, c := range decoded {
		if !n.same(c, rest[i]) {
			return false
		}
	}
	return true
}
