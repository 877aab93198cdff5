// Checks the vectors of this folder with Node's standard library alone. It shares
// no code with the implementation: JSON and its numbers are V8's, SHA-256 is
// OpenSSL's, and the CBOR encoder below is written from RFC 8949.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

let failures = 0;
let checks = 0;
const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
const equal = (what, got, want) => {
  checks++;
  if (got !== want) {
    failures++;
    console.error(`${what}\n  got  ${got}\n  want ${want}`);
  }
};

// --- RFC 8785 from its text: sorted by UTF-16 code units, V8's strings and numbers.
function canonical(value) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const names = Object.keys(value).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
}

// --- The refusals of canon.JSON, from the rules in docs/formats.md.
function refusal(text) {
  let at = 0;
  const fail = (reason) => { throw new Error(reason); };
  const space = () => { while (' \t\r\n'.includes(text[at] ?? 'x')) at++; };
  const string = () => {
    const start = at++;
    while (text[at] !== '"') {
      if (at >= text.length) fail('json_syntax');
      at += text[at] === '\\' ? 2 : 1;
    }
    const raw = text.slice(start, ++at);
    let value;
    try { value = JSON.parse(raw); } catch { fail('json_syntax'); }
    if (!value.isWellFormed()) fail('json_unicode');
    return value;
  };
  const number = (raw) => {
    if (!/^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(raw)) fail('json_syntax');
    const size = Math.abs(Number(raw));
    if (!Number.isFinite(size)) fail('json_number_range');
    if (size > Number.MAX_SAFE_INTEGER && (size < 1e21 || /^-?[0-9]+$/.test(raw))) fail('json_number_range');
  };
  const value = (depth) => {
    if (depth > 128) fail('json_depth');
    space();
    if (text[at] === '{' || text[at] === '[') {
      const object = text[at++] === '{';
      const end = object ? '}' : ']';
      const seen = new Set();
      space();
      if (text[at] === end) { at++; return; }
      for (;;) {
        space();
        if (object) {
          if (text[at] !== '"') fail('json_syntax');
          const name = string();
          if (seen.has(name)) fail('json_duplicate_key');
          seen.add(name);
          space();
          if (text[at++] !== ':') fail('json_syntax');
        }
        value(depth + 1);
        space();
        const next = text[at++];
        if (next === end) return;
        if (next !== ',') fail('json_syntax');
      }
    }
    if (text[at] === '"') { string(); return; }
    const token = /^[^\s,\]}]*/.exec(text.slice(at))[0];
    at += token.length;
    if (!['true', 'false', 'null'].includes(token)) number(token);
  };
  try {
    value(0);
    space();
    if (at !== text.length) fail('json_syntax');
  } catch (error) {
    return error.message;
  }
  return '';
}

for (const v of read('json.json')) {
  equal(`json ${v.name}: refusal`, refusal(v.input), v.refused ?? '');
  if (!v.refused) equal(`json ${v.name}: canonical form`, canonical(JSON.parse(v.input)), v.canonical);
}

for (const v of read('numbers.json')) {
  const bits = Buffer.from(v.bits, 'hex');
  equal(`number ${v.bits}`, JSON.stringify(bits.readDoubleBE(0)), v.text);
}

// --- Hashes with domains, digests and ids.
function domainHash(domain, parts) {
  const hash = createHash('sha256');
  for (const part of [Buffer.from(domain, 'utf8'), ...parts]) {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(part.length));
    hash.update(size).update(part);
  }
  return hash.digest();
}

function base32(bytes) {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  let out = '';
  for (let i = 0; i < bits.length; i += 5) out += alphabet[parseInt(bits.slice(i, i + 5).padEnd(5, '0'), 2)];
  return out;
}

for (const v of read('hashes.json')) {
  const parts = v.parts.map((part) => Buffer.from(part, 'hex'));
  const sum = domainHash(v.domain, parts);
  equal(`hash ${v.name}: sum`, `sha256:${sum.toString('hex')}`, v.sum);
  equal(`hash ${v.name}: id`, `${v.prefix}_${base32(sum).slice(0, 26)}`, v.id);
  const plain = createHash('sha256').update(Buffer.concat(parts)).digest('hex');
  equal(`hash ${v.name}: plain`, `sha256:${plain}`, v.plain);
}

for (const v of read('digests.json')) {
  equal(`digest ${JSON.stringify(v.text)}`, /^sha256:[0-9a-f]{64}$/.test(v.text) && !v.text.includes('\n'), v.valid);
}

// --- CBOR, RFC 8949 section 4.2.1, from the notation that docs/formats.md gives.
function head(major, argument) {
  const n = BigInt(argument);
  const lead = major << 5;
  if (n < 24n) return Buffer.from([lead | Number(n)]);
  for (const [size, code] of [[1, 24], [2, 25], [4, 26], [8, 27]]) {
    if (n < 1n << BigInt(8 * size)) {
      return Buffer.concat([Buffer.from([lead | code]), Buffer.from(n.toString(16).padStart(2 * size, '0'), 'hex')]);
    }
  }
  throw new Error(`${n} does not fit`);
}

const integer = (n) => (n >= 0n ? head(0, n) : head(1, -1n - n));

function half(value) {
  const single = Buffer.alloc(4);
  single.writeFloatBE(value);
  const bits = single.readUInt32BE();
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 127;
  const fraction = bits & 0x7fffff;
  if (exponent === 128) return fraction ? null : sign | 0x7c00;
  if (exponent > 15) return null;
  if (exponent >= -14) return fraction & 0x1fff ? null : sign | ((exponent + 15) << 10) | (fraction >>> 13);
  if ((bits & 0x7fffffff) === 0) return sign;
  const shift = -exponent - 1;
  const whole = 0x800000 | fraction;
  if (shift > 23 || whole & ((1 << shift) - 1)) return null;
  return sign | (whole >>> shift);
}

function float(value) {
  if (Number.isNaN(value)) return Buffer.from('f97e00', 'hex');
  if (Object.is(Math.fround(value), value)) {
    const short = half(value);
    if (short !== null) {
      const out = Buffer.from([0xf9, 0, 0]);
      out.writeUInt16BE(short, 1);
      return out;
    }
    const out = Buffer.from([0xfa, 0, 0, 0, 0]);
    out.writeFloatBE(value, 1);
    return out;
  }
  const out = Buffer.alloc(9);
  out[0] = 0xfb;
  out.writeDoubleBE(value, 1);
  return out;
}

function cbor(value) {
  if (value === null) return Buffer.from([0xf6]);
  if (value === false) return Buffer.from([0xf4]);
  if (value === true) return Buffer.from([0xf5]);
  if (typeof value === 'number') return integer(BigInt(value));
  if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf8');
    return Buffer.concat([head(3, text.length), text]);
  }
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(cbor)]);
  if (value.$int !== undefined) return integer(BigInt(value.$int));
  if (value.$float !== undefined) return float(Number(value.$float));
  if (value.$bytes !== undefined) {
    const bytes = Buffer.from(value.$bytes, 'hex');
    return Buffer.concat([head(2, bytes.length), bytes]);
  }
  const entries = Object.entries(value).map(([name, inner]) => [cbor(name), cbor(inner)]);
  entries.sort(([a], [b]) => Buffer.compare(a, b));
  return Buffer.concat([head(5, entries.length), ...entries.flat()]);
}

for (const v of read('cbor.json')) equal(`cbor ${v.name}`, cbor(v.value).toString('hex'), v.hex);

for (const v of read('records.json')) {
  const bytes = cbor(v.value);
  equal(`record ${v.name}: bytes`, bytes.toString('hex'), v.hex);
  equal(`record ${v.name}: digest`, `sha256:${domainHash('writ/record/v1', [bytes]).toString('hex')}`, v.digest);
}

// --- Times.
for (const v of read('times.json')) {
  const n = BigInt(v.nanoseconds);
  const billion = 1000000000n;
  const fraction = ((n % billion) + billion) % billion;
  const seconds = (n - fraction) / billion;
  const text = new Date(Number(seconds) * 1000).toISOString().replace('.000Z', `.${fraction.toString().padStart(9, '0')}Z`);
  equal(`time ${n}`, text, v.text);
}

if (failures > 0) {
  console.error(`${failures} of ${checks} checks failed`);
  process.exit(1);
}
console.log(`${checks} checks passed`);
