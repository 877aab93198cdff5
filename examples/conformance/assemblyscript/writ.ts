/*
 * writ.ts: how a skill is written in AssemblyScript. One module, no packages.
 *
 *   import * as writ from "./writ";
 *
 *   function greet(input: writ.Input): i32 {
 *     const name = input.text("name");
 *     if (input.wrong != "") return writ.invalid(input);
 *     return writ.answer(new writ.Json().text("greeting", "Hello, " + name + "!"));
 *   }
 *
 *   const actions = [new writ.Action("greet", GREET_INPUT, GREET_OUTPUT, greet)];
 *   export function writ_run(): i32 { return writ.run(actions); }
 *   export function writ_describe(): i32 { return writ.describe(actions); }
 *
 * Build it with the compiler of npm, nothing else is needed:
 *
 *   npx asc skill.ts -O --noAssert --runtime stub --exportStart _initialize \
 *     --use abort=writ/abort -o skill.wasm
 *
 * An action is a function that takes its input and ends with answer, output, fail or
 * one of their kind, whose result it returns. The tools are functions (kvGet, log,
 * ...), each an import of its own that the compiler drops where it is not called: the
 * import section of the module is the list of what the skill can reach.
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
@external("wasi_snapshot_preview1", "random_get") declare function importRandom(to: usize, size: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "clock_time_get") declare function importClock(clock: i32, precision: i64, to: usize): i32;

/** What the runtime calls where a program cannot go on: the run ends with a trap. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
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
    const json = this.json;
    let at = skipSpace(json, 0);
    if (charAt(json, at) != 0x7b) return null;
    while (true) {
      at = skipSpace(json, at + 1);
      if (charAt(json, at) != 0x22) return null;
      const key = at + 1;
      at = skipString(json, key);
      const found = json.substring(key, at - 1) == name;
      at = skipSpace(json, skipSpace(json, at) + 1);
      const end = skipValue(json, at);
      if (found) return json.substring(at, end);
      at = skipSpace(json, end);
      if (charAt(json, at) != 0x2c) return null;
    }
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

  private miss(name: string, want: string): void {
    if (this.wrong == "") this.wrong = "/" + name + ": want " + want;
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
function decode(json: string): string | null {
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

let failed: string = "";

/** The failure is that of the last tool call. */
export function failAsTool(): i32 {
  const utf8 = String.UTF8.encode(failed);
  importFail(changetype<usize>(utf8), utf8.byteLength);
  return 1;
}

// ---- Tools: null or false where the call failed, and failAsTool says how ----

type Tool = (args: usize, size: usize) => u64;

function call(tool: Tool, args: Json): Input | null {
  const ok = args.call(tool);
  const result = read(importResult);
  if (ok) return new Input(result);
  failed = result;
  return null;
}

/** level is trace, debug, info, warn or error. A line that is refused is dropped. */
export function log(level: string, message: string): void {
  new Json().text("level", level).text("message", message).call(importLog);
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

// The arguments and the results of these are those of docs/tools.md.

export function kvDelete(key: string): Input | null {
  return call(importKVDelete, new Json().text("key", key));
}

export function kvList(args: Json): Input | null {
  return call(importKVList, args);
}

export function httpRequest(args: Json): Input | null {
  return call(importHTTPRequest, args);
}

export function fileRead(path: string): Input | null {
  return call(importFileRead, new Json().text("path", path));
}

export function fileWrite(args: Json): Input | null {
  return call(importFileWrite, args);
}

export function fileList(path: string): Input | null {
  return call(importFileList, new Json().text("path", path));
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

// ---- The module's exports ----

export class Action {
  constructor(
    /** Lower-case letters, digits and _. */
    public name: string,
    /** JSON Schema 2020-12; the manifest takes it and output from here. */
    public input: string,
    public output: string,
    public run: (input: Input) => i32,
  ) {}
}

export function run(actions: Action[]): i32 {
  const name = read(importAction);
  for (let i = 0; i < actions.length; i++) {
    if (actions[i].name == name) return actions[i].run(new Input(read(importInput)));
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
