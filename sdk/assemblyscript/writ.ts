/*
 * writ.ts: how a skill is written in AssemblyScript. One module, no packages.
 *
 *   import * as writ from "./writ";
 *
 *   const In = new writ.Fields().text("name", "Who to greet");
 *   const Out = new writ.Fields().text("greeting", "A friendly line");
 *
 *   function greet(input: writ.Input): i32 {
 *     return writ.answer(new writ.Json().text("greeting", "Hello, " + input.text("name") + "!"));
 *   }
 *
 *   const actions = [writ.action("greet", In, Out, greet)];
 *   export function writ_run(): i32 { return writ.run(actions); }
 *   export function writ_describe(): i32 { return writ.describe(actions); }
 *
 * Fields are the members of an object and its JSON Schema: an input has them all, in
 * these types, and no others, before the action sees it. What has another form is
 * written with new writ.Action and schemas as text.
 *
 * Build it with the compiler of npm, nothing else is needed:
 *
 *   npx asc skill.ts -O --debug --noAssert --runtime stub --exportStart _initialize \
 *     --use abort=writ/abort -o skill.wasm
 *
 * --debug leaves the names of functions, with which a failure says where it was. An
 * action is a function that takes its input and ends with answer, output, fail or one
 * of their kind, whose result it returns. The tools are functions (kvGet, http, ...),
 * each an import of its own that the compiler drops where it is not called: the import
 * section of the module is the list of what the skill can reach. What throws is a
 * failure with the code panic.
 *
 * The stub runtime never frees: memory ends with the run.
 */

// ---- The wire (Writ's package abi describes it) ----

// @ts-ignore: decorator
@external("writ:core/v1", "input") declare function importInput(to: usize, room: usize): usize;
// @ts-ignore: decorator
@external("writ:core/v1", "action") declare function importAction(to: usize, room: usize): usize;
// @ts-ignore: decorator
@external("writ:core/v1", "result") declare function importResult(to: usize, room: usize): usize;
// @ts-ignore: decorator
@external("writ:core/v1", "output") declare function importOutput(json: usize, size: usize): void;
// @ts-ignore: decorator
@external("writ:core/v1", "fail") declare function importFail(json: usize, size: usize): void;

// @ts-ignore: decorator
@external("writ:tool/v1", "log") declare function importLog(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "http.request") declare function importHTTPRequest(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "kv.get") declare function importKVGet(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "kv.put") declare function importKVPut(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "kv.delete") declare function importKVDelete(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "kv.list") declare function importKVList(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "file.read") declare function importFileRead(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "file.write") declare function importFileWrite(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "file.list") declare function importFileList(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "skill.call") declare function importSkillCall(args: usize, size: usize): u64;
// @ts-ignore: decorator
@external("writ:tool/v1", "message.send") declare function importMessageSend(args: usize, size: usize): u64;

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "random_get") declare function importRandom(to: usize, size: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "clock_time_get") declare function importClock(clock: i32, precision: i64, to: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit") declare function importExit(code: i32): void;

/** What the runtime calls where a program throws or cannot go on. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  fail("panic", message === null ? "the program cannot go on" : message);
  importExit(1);
  unreachable();
}

/** Fits most inputs, so that they cost one host call and not two. */
const FIRST_READ: usize = 4 << 10;

type Reader = (to: usize, room: usize) => usize;

function read(from: Reader): string {
  let at = heap.alloc(FIRST_READ);
  const size = from(at, FIRST_READ);
  if (size > FIRST_READ) {
    at = heap.alloc(size);
    from(at, size);
  }
  return String.UTF8.decodeUnsafe(at, size);
}

// ---- Reading JSON ----

/**
 * A JSON object: an action's input, or the result of a tool. The host checks what it
 * gives, so it is well formed. A member that is not as asked for leaves its name and
 * what was wanted in wrong, and gives an empty value.
 */
export class Input {
  /** The first member that is not as asked for, "" where there is none. */
  wrong: string = "";

  constructor(/** All of it, as canonical JSON. */ public json: string) {}

  /** The JSON of a member, null where there is none. */
  get(name: string): string | null {
    const parts = new Parts(this.json);
    while (parts.next()) {
      if (parts.name == name) return parts.value;
    }
    return null;
  }

  /** A member that is a string. */
  text(name: string): string {
    const json = this.get(name);
    let text: string | null = null;
    if (json !== null) text = decode(json);
    if (text === null) {
      this.miss(name, "a text");
      return "";
    }
    return text;
  }

  /** A member that is a whole number of at most 18 digits. */
  integer(name: string): i64 {
    const json = this.get(name);
    const negative = json !== null && charAt(json, 0) == 0x2d;
    const first = negative ? 1 : 0;
    if (json === null || json.length == first || json.length - first > 18) {
      this.miss(name, "a whole number");
      return 0;
    }
    let number: i64 = 0;
    for (let i = first; i < json.length; i++) {
      const digit = json.charCodeAt(i) - 0x30;
      if (digit < 0 || digit > 9) {
        this.miss(name, "a whole number");
        return 0;
      }
      number = number * 10 + digit;
    }
    return negative ? -number : number;
  }

  /** A member that is a whole number and not negative. */
  count(name: string): u64 {
    const number = this.integer(name);
    if (number >= 0) return <u64>number;
    this.miss(name, "a count");
    return 0;
  }

  /** A member that is true or false. */
  boolean(name: string): bool {
    const json = this.get(name);
    if (json === null || (json != "true" && json != "false")) {
      this.miss(name, "true or false");
      return false;
    }
    return json == "true";
  }

  /** Bytes that came as text or as base64; see the tools. */
  bytes(asText: string, asBase64: string): Uint8Array {
    const encoded = this.get(asBase64);
    if (encoded !== null) return fromBase64(encoded);
    const plain = this.get(asText);
    if (plain === null) return new Uint8Array(0);
    const text = decode(plain);
    return text === null ? new Uint8Array(0) : Uint8Array.wrap(String.UTF8.encode(text));
  }

  /** Says that a member is not as it must be, unless another one is already. */
  miss(name: string, want: string): void {
    if (this.wrong == "") this.wrong = "/" + name + ": want " + want;
  }
}

/** The members of an object or the items of a list: while (parts.next()) ... */
export class Parts {
  /** The member's, as it stands there with its escapes; "" of an item. */
  name: string = "";
  /** The JSON of the member or item. */
  value: string = "";
  private at: i32 = 0;
  private open: i32;
  private first: bool = true;

  constructor(private json: string) {
    this.at = skipSpace(json, 0);
    this.open = charAt(json, this.at);
  }

  next(): bool {
    const json = this.json;
    if ((this.open != 0x7b && this.open != 0x5b) || (!this.first && charAt(json, this.at) != 0x2c)) return false;
    this.first = false;
    let at = skipSpace(json, this.at + 1);
    if (this.open == 0x7b) {
      if (charAt(json, at) != 0x22) return false;
      const key = at + 1;
      at = skipString(json, key);
      this.name = json.substring(key, at - 1);
      at = skipSpace(json, skipSpace(json, at) + 1);
    } else if (charAt(json, at) == 0x5d) {
      return false;
    }
    const end = skipValue(json, at);
    this.value = json.substring(at, end);
    this.at = skipSpace(json, end);
    return true;
  }
}

/** A UTF-16 unit, -1 behind the end. */
function charAt(text: string, at: i32): i32 {
  return at < text.length ? text.charCodeAt(at) : -1;
}

function isSpace(c: i32): bool {
  return c == 0x20 || c == 0x09 || c == 0x0a || c == 0x0d;
}

function skipSpace(json: string, at: i32): i32 {
  while (isSpace(charAt(json, at))) at++;
  return at;
}

/** at is behind the opening quote; the result is behind the closing one. */
function skipString(json: string, at: i32): i32 {
  for (; at < json.length && json.charCodeAt(at) != 0x22; at++) {
    if (json.charCodeAt(at) == 0x5c) at++;
  }
  return at + 1;
}

function skipValue(json: string, at: i32): i32 {
  let depth = 0;
  while (at < json.length) {
    const c = json.charCodeAt(at);
    if (c == 0x22) {
      at = skipString(json, at + 1);
      if (depth == 0) return at;
      continue;
    }
    if (c == 0x7b || c == 0x5b) depth++;
    if (c == 0x7d || c == 0x5d) {
      if (depth == 0) return at;
      if (--depth == 0) return at + 1;
    }
    if (depth == 0 && (c == 0x2c || isSpace(c))) return at;
    at++;
  }
  return at;
}

/** The text of a JSON string, null where json is another value. */
export function decode(json: string): string | null {
  const end = json.length - 1;
  if (end < 1 || json.charCodeAt(0) != 0x22) return null;
  if (json.indexOf("\\") < 0) return json.substring(1, end);
  const begin = heap.alloc(<usize>json.length << 1);
  let to = begin;
  for (let i = 1; i < end; i++) {
    let c = json.charCodeAt(i);
    if (c == 0x5c) {
      c = json.charCodeAt(++i);
      switch (c) {
        case 0x62: c = 0x08; break;
        case 0x66: c = 0x0c; break;
        case 0x6e: c = 0x0a; break;
        case 0x72: c = 0x0d; break;
        case 0x74: c = 0x09; break;
        case 0x75:
          c = <i32>U32.parseInt(json.substring(i + 1, i + 5), 16);
          i += 4;
          break;
      }
    }
    store<u16>(to, <u16>c);
    to += 2;
  }
  return String.UTF16.decodeUnsafe(begin, to - begin);
}

// ---- Writing JSON ----

/**
 * A JSON object while it is written, or, with open as "[", a list. It grows as
 * UTF-8, as the host wants it.
 */
export class Json {
  private at: usize = 0;
  private size: usize = 0;
  private room: usize = 0;
  private first: bool = true;

  constructor(private open: string = "{") {
    this.raw(open);
  }

  /** A member whose value is JSON already. */
  json(name: string, json: string): Json {
    return this.next().quote(name).raw(":").raw(json);
  }

  text(name: string, text: string): Json {
    return this.json(name, "").quote(text);
  }

  /** A host refuses numbers beyond +-(2^53-1): write those as text. */
  integer(name: string, number: i64): Json {
    return this.json(name, number.toString());
  }

  boolean(name: string, value: bool): Json {
    return this.json(name, value ? "true" : "false");
  }

  texts(name: string, items: string[]): Json {
    const list = new Json("[");
    for (let i = 0; i < items.length; i++) list.next().quote(items[i]);
    return this.json(name, list.done());
  }

  /** An item of a list that is JSON already. */
  item(json: string): Json {
    return this.next().raw(json);
  }

  /** Bytes under the first name where they are text, else as base64 under the second. */
  bytes(asText: string, asBase64: string, bytes: Uint8Array): Json {
    if (isUTF8(bytes)) return this.text(asText, String.UTF8.decodeUnsafe(bytes.dataStart, bytes.length));
    return this.text(asBase64, toBase64(bytes));
  }

  done(): string {
    this.raw(this.open == "[" ? "]" : "}");
    return String.UTF8.decodeUnsafe(this.at, this.size);
  }

  /** Closes it, and hands it over as it is. */
  send(to: (json: usize, size: usize) => void): void {
    this.raw(this.open == "[" ? "]" : "}");
    to(this.at, this.size);
  }

  /** Closes it, and calls a tool with it. */
  call(tool: (args: usize, size: usize) => u64): bool {
    this.raw(this.open == "[" ? "]" : "}");
    return tool(this.at, this.size) >> 32 == 0;
  }

  private next(): Json {
    if (!this.first) this.raw(",");
    this.first = false;
    return this;
  }

  private need(size: usize): void {
    if (this.room - this.size >= size) return;
    this.room = this.room * 2 + size + 64;
    const at = heap.alloc(this.room);
    memory.copy(at, this.at, this.size);
    this.at = at;
  }

  private raw(text: string): Json {
    return this.part(text, 0, text.length);
  }

  private part(text: string, from: i32, to: i32): Json {
    this.need(<usize>(to - from) * 3); // a unit is at most three bytes
    this.size += String.UTF8.encodeUnsafe(changetype<usize>(text) + (<usize>from << 1), to - from, this.at + this.size);
    return this;
  }

  private quote(text: string): Json {
    this.raw('"');
    let from = 0;
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (c >= 0x20 && c != 0x22 && c != 0x5c) continue;
      this.part(text, from, i);
      from = i + 1;
      if (c < 0x20) this.raw("\\u00" + (c < 16 ? "0" : "") + c.toString(16));
      else this.raw("\\").part(text, i, i + 1);
    }
    return this.part(text, from, text.length).raw('"');
  }
}

// ---- How an action ends ----

/** The output is what was written. */
export function answer(json: Json): i32 {
  json.send(importOutput);
  return 0;
}

/** The output is JSON that is there already. */
export function output(json: string): i32 {
  const utf8 = String.UTF8.encode(json);
  importOutput(changetype<usize>(utf8), utf8.byteLength);
  return 0;
}

/**
 * The action says no. code is short and for programs (lower-case letters, digits, _),
 * message and fix are for people and hold no secret.
 */
export function fail(code: string, message: string, fix: string = ""): i32 {
  const failure = new Json().text("code", code).text("message", message);
  if (fix != "") failure.text("fix", fix);
  failure.send(importFail);
  return 1;
}

/** The input is not what it must be; see Input.wrong. */
export function invalid(input: Input): i32 {
  return fail("invalid", "input: " + input.wrong);
}

let failed: string = "{}";

/** The code of the last tool call that failed: denied, not_found, ... */
export function failedCode(): string {
  return new Input(failed).text("code");
}

/** The failure is that of the last tool call. */
export function failAsTool(): i32 {
  const utf8 = String.UTF8.encode(failed);
  importFail(changetype<usize>(utf8), utf8.byteLength);
  return 1;
}

// ---- Bytes that are no text travel as base64 ----

function isUTF8(bytes: Uint8Array): bool {
  const size = bytes.length;
  for (let i = 0; i < size; ) {
    const c = <i32>bytes[i++];
    if (c < 0x80) continue;
    const more = c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 0;
    if (more == 0 || size - i < more) return false;
    const next = <i32>bytes[i]; // too long, a surrogate, beyond U+10FFFF
    if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f)) return false;
    for (let n = 0; n < more; n++) {
      if ((bytes[i++] & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = (<u32>bytes[i] << 16) | (left > 1 ? <u32>bytes[i + 1] << 8 : 0) | (left > 2 ? <u32>bytes[i + 2] : 0);
    text += DIGITS.charAt(group >> 18) + DIGITS.charAt((group >> 12) & 63);
    text += (left > 1 ? DIGITS.charAt((group >> 6) & 63) : "=") + (left > 2 ? DIGITS.charAt(group & 63) : "=");
  }
  return text;
}

/** The host checks what it gives, so json is a string of base64. */
function fromBase64(json: string): Uint8Array {
  const bytes = new Uint8Array((json.length / 4) * 3);
  let group: u32 = 0;
  let bits = 0;
  let size = 0;
  for (let i = 0; i < json.length; i++) {
    const digit = DIGITS.indexOf(json.charAt(i));
    if (digit < 0) continue; // quotes and padding
    group = (group << 6) | <u32>digit;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[size++] = <u8>(group >> bits);
  }
  return bytes.subarray(0, size);
}

// ---- Tools: null or false where the call failed, and failedCode says how ----

type Tool = (args: usize, size: usize) => u64;

function call(tool: Tool, args: Json): Input | null {
  const ok = args.call(tool);
  const result = read(importResult);
  if (ok) return new Input(result);
  failed = result;
  return null;
}

/**
 * level is trace, debug, info, warn or error; fields hold texts. A line that is refused
 * is dropped.
 */
export function log(level: string, message: string, fields: Json | null = null): void {
  const args = new Json().text("level", level).text("message", message);
  if (fields !== null) args.json("fields", fields.done());
  args.call(importLog);
}

export function kvPut(key: string, value: string): bool {
  return call(importKVPut, new Json().text("key", key).text("value", value)) !== null;
}

/** A stored value. */
export class Value {
  constructor(public found: bool, /** "" where none was found. */ public text: string) {}
}

export function kvGet(key: string): Value | null {
  const result = call(importKVGet, new Json().text("key", key));
  if (result === null) return null;
  const found = result.boolean("found");
  return new Value(found, found ? result.text("value") : "");
}

/** 1 where the key had a value, 0 where it had none, -1 where the call failed. */
export function kvDelete(key: string): i32 {
  const result = call(importKVDelete, new Json().text("key", key));
  if (result === null) return -1;
  return result.boolean("deleted") ? 1 : 0;
}

/** Keys, sorted, at most 100; more says that others follow. */
export class Keys {
  constructor(public keys: string[], public more: bool) {}
}

/** The keys with the prefix that follow after, "" for the first. */
export function kvList(prefix: string, after: string = ""): Keys | null {
  const args = new Json().text("prefix", prefix);
  if (after != "") args.text("after", after);
  const result = call(importKVList, args);
  if (result === null) return null;
  const keys: string[] = [];
  const list = result.get("keys");
  const parts = new Parts(list === null ? "" : list);
  while (parts.next()) {
    const key = decode(parts.value);
    if (key !== null) keys.push(key);
  }
  return new Keys(keys, result.get("more") == "true");
}

/** What http takes. */
export class HttpRequest {
  /** Texts. */
  headers: Json | null = null;
  /** Any bytes. */
  body: Uint8Array | null = null;
  /** In milliseconds; 0: what is left of the step's time. */
  timeout: i32 = 0;

  constructor(/** GET, HEAD, POST, PUT, PATCH or DELETE. */ public method: string, public url: string) {}
}

/** What came back. */
export class HttpResponse {
  constructor(
    public status: i32,
    /** Texts, with names in lower case; get gives null where there is none. */
    public headers: Input,
    public body: Uint8Array,
  ) {}
}

/** Makes a request. A response of any status is a result and no failure. */
export function http(request: HttpRequest): HttpResponse | null {
  const args = new Json().text("method", request.method).text("url", request.url);
  const headers = request.headers;
  if (headers !== null) args.json("headers", headers.done());
  const body = request.body;
  if (body !== null && body.length > 0) args.bytes("body", "bodyBase64", body);
  if (request.timeout > 0) args.integer("timeoutMs", request.timeout);
  const result = call(importHTTPRequest, args);
  if (result === null) return null;
  const told = result.get("headers");
  return new HttpResponse(<i32>result.integer("status"), new Input(told === null ? "{}" : told), result.bytes("body", "bodyBase64"));
}

export function fileRead(path: string): Uint8Array | null {
  const result = call(importFileRead, new Json().text("path", path));
  return result === null ? null : result.bytes("text", "base64");
}

export function fileWrite(path: string, content: Uint8Array): bool {
  return call(importFileWrite, new Json().text("path", path).bytes("text", "base64", content)) !== null;
}

/** A file or a directory. */
export class Entry {
  constructor(public name: string, public dir: bool, public size: i64) {}
}

/** The entries of a directory, sorted by name. */
export function fileList(path: string): Entry[] | null {
  const result = call(importFileList, new Json().text("path", path));
  if (result === null) return null;
  const entries: Entry[] = [];
  const list = result.get("entries");
  const parts = new Parts(list === null ? "" : list);
  while (parts.next()) {
    const one = new Input(parts.value);
    entries.push(new Entry(one.text("name"), one.get("dir") == "true", one.get("size") === null ? 0 : one.integer("size")));
  }
  return entries;
}

/**
 * Runs an action of another skill, "publisher/name#action", as a step of its own;
 * input is JSON, and so is the output.
 */
export function skillCall(name: string, input: string): Input | null {
  const mark = name.indexOf("#");
  const skill = mark < 0 ? name : name.substring(0, mark);
  const action = mark < 0 ? "" : name.substring(mark + 1);
  return call(importSkillCall, new Json().text("skill", skill).text("action", action).json("input", input));
}

/**
 * Says plain text in a thread of a channel, "slack/acme", and gives back the provider's id
 * of it. An empty thread is the channel's own, where its provider has one.
 */
export function messageSend(channel: string, thread: string, text: string): string | null {
  const args = new Json().text("channel", channel).text("text", text);
  const result = call(importMessageSend, thread.length > 0 ? args.text("thread", thread) : args);
  return result === null ? null : result.text("id");
}

// ---- Time and randomness: recorded, hence no source of keys or nonces ----

export function random(size: i32): Uint8Array {
  const bytes = new Uint8Array(size);
  if (importRandom(bytes.dataStart, size) != 0) unreachable();
  return bytes;
}

const clock = memory.data(8, 8);

/** Nanoseconds since 1970. */
export function now(): u64 {
  if (importClock(0, 1, clock) != 0) unreachable();
  return load<u64>(clock);
}

// ---- Fields: the members of an object, and its schema ----

enum Kind { Text, Integer, Boolean, Any }

/** The members that an object must have. */
export class Fields {
  private names: string[] = [];
  private kinds: Kind[] = [];
  private schemas: string[] = [];

  text(name: string, about: string): Fields {
    return this.add(name, about, Kind.Text, "string");
  }

  integer(name: string, about: string): Fields {
    return this.add(name, about, Kind.Integer, "integer");
  }

  boolean(name: string, about: string): Fields {
    return this.add(name, about, Kind.Boolean, "boolean");
  }

  /** Any value, which Input.get gives. */
  any(name: string, about: string): Fields {
    return this.add(name, about, Kind.Any, "");
  }

  private add(name: string, about: string, kind: Kind, type: string): Fields {
    const one = new Json().text("description", about);
    if (type != "") one.text("type", type);
    this.names.push(name);
    this.kinds.push(kind);
    this.schemas.push(one.done());
    return this;
  }

  /** The JSON Schema. */
  schema(): string {
    const properties = new Json();
    for (let i = 0; i < this.names.length; i++) properties.json(this.names[i], this.schemas[i]);
    const schema = new Json().boolean("additionalProperties", false).json("properties", properties.done());
    if (this.names.length > 0) schema.texts("required", this.names);
    return schema.text("type", "object").done();
  }

  /** Leaves in input.wrong what is not as it must be. */
  check(input: Input): void {
    for (let i = 0; i < this.names.length; i++) {
      const name = this.names[i];
      const kind = this.kinds[i];
      if (input.get(name) === null) input.miss(name, "a value");
      else if (kind == Kind.Text) input.text(name);
      else if (kind == Kind.Integer) input.integer(name);
      else if (kind == Kind.Boolean) input.boolean(name);
    }
    const parts = new Parts(input.json);
    while (parts.next()) {
      if (!this.names.includes(parts.name)) input.miss(parts.name, "no such member");
    }
  }
}

// ---- The module's exports ----

export class Action {
  /** Whose members an input has; null: the action looks for itself. */
  fields: Fields | null = null;

  constructor(
    /** Lower-case letters, digits and _. */
    public name: string,
    /** JSON Schema 2020-12; the manifest takes it and output from here. */
    public input: string,
    public output: string,
    public run: (input: Input) => i32,
  ) {}
}

/** An action with the fields of its input and its output. */
export function action(name: string, input: Fields, output: Fields, run: (input: Input) => i32): Action {
  const one = new Action(name, input.schema(), output.schema(), run);
  one.fields = input;
  return one;
}

export function run(actions: Action[]): i32 {
  const name = read(importAction);
  for (let i = 0; i < actions.length; i++) {
    if (actions[i].name != name) continue;
    const input = new Input(read(importInput));
    const fields = actions[i].fields;
    if (fields !== null) fields.check(input);
    if (input.wrong != "") return invalid(input);
    return actions[i].run(input);
  }
  return fail("unknown_action", "this skill has no such action");
}

export function describe(actions: Action[]): i32 {
  const list = new Json("[");
  for (let i = 0; i < actions.length; i++) {
    const one = actions[i];
    list.item(new Json().text("name", one.name).json("input", one.input).json("output", one.output).done());
  }
  return answer(new Json().json("actions", list.done()));
}
