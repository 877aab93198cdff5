// The conformance skill in AssemblyScript; ../README.md says what each action does.
import * as writ from "./writ";

function object(required: string, properties: string): string {
  return '{"additionalProperties":false,"properties":{' + properties + '},"required":[' + required + '],"type":"object"}';
}

const NOTHING = '{"additionalProperties":false,"properties":{},"type":"object"}';
const ANYTHING = '{"additionalProperties":{},"type":"object"}';

function text(name: string): string {
  return '"' + name + '":{"type":"string"}';
}

function count(name: string): string {
  return '"' + name + '":{"minimum":0,"type":"integer"}';
}

function echo(input: writ.Input): i32 {
  return writ.output(input.json);
}

const FNV_BASIS: u32 = 2166136261;

function fnv(sum: u32, value: u32): u32 {
  return (sum ^ value) * 16777619;
}

function big(input: writ.Input): i32 {
  const text = input.text("text");
  if (input.wrong != "") return writ.invalid(input);
  const bytes = String.UTF8.encode(text);
  let sum = FNV_BASIS;
  for (let i = 0; i < bytes.byteLength; i++) sum = fnv(sum, load<u8>(changetype<usize>(bytes) + i));
  return writ.answer(new writ.Json().integer("bytes", bytes.byteLength).integer("sum", sum).text("text", text));
}

const PIECE: u32 = 1 << 20;
const PAGE: u32 = 64 << 10;
const PAGES: u32 = PIECE / PAGE;

function grow(input: writ.Input): i32 {
  const pieces = <u32>input.count("mib");
  if (input.wrong != "") return writ.invalid(input);
  let sum = FNV_BASIS;
  const all = new StaticArray<usize>(pieces);
  for (let i: u32 = 0; i < pieces; i++) {
    all[i] = heap.alloc(PIECE);
    for (let j: u32 = 0; j < PAGES; j++) {
      const page = all[i] + j * PAGE;
      sum = fnv(sum, load<u32>(page));
      store<u32>(page, i * PAGES + j);
    }
  }
  for (let i: u32 = 0; i < pieces; i++) {
    for (let j: u32 = 0; j < PAGES; j++) sum = fnv(sum, load<u32>(all[i] + j * PAGE));
  }
  return writ.answer(new writ.Json().integer("pages", pieces * PAGES).integer("sum", sum));
}

function fail(input: writ.Input): i32 {
  const reason = input.text("reason");
  if (input.wrong != "") return writ.invalid(input);
  return writ.fail("refused", reason, "ask for something else");
}

function giveUp(): void {
  unreachable();
}

function trap(input: writ.Input): i32 {
  giveUp();
  return writ.output(input.json);
}

function hexadecimal(value: u64, digits: i32): string {
  let out = "";
  for (let i = digits - 1; i >= 0; i--) out += "0123456789abcdef".charAt(<i32>(value >> (4 * i)) & 15);
  return out;
}

function random_and_clock(_: writ.Input): i32 {
  const drawn = writ.random(16);
  const now = writ.now();
  let digits = "";
  for (let i = 0; i < drawn.length; i++) digits += hexadecimal(drawn[i], 2);
  return writ.answer(
    new writ.Json()
      .integer("nanoseconds", now % 1_000_000_000)
      .text("random", digits)
      .integer("seconds", now / 1_000_000_000),
  );
}

const cell = memory.data(8, 8);

// Values that pass through the memory are computed with by the machine, not the compiler.
function double(bits: u64): f64 {
  store<u64>(cell, bits);
  return load<f64>(cell);
}

function float(bits: u32): f32 {
  store<u32>(cell, bits);
  return load<f32>(cell);
}

function add64(to: string[], value: f64): void {
  to.push(hexadecimal(reinterpret<u64>(value), 16));
}

function add32(to: string[], value: f32): void {
  to.push(hexadecimal(reinterpret<u32>(value), 8));
}

function floats(_: writ.Input): i32 {
  const zero = double(0);
  const one = double(0x3ff0000000000000);
  const infinity = double(0x7ff0000000000000);
  const nan = double(0x7ff4000000abcdef);
  const zero32 = float(0);
  const one32 = float(0x3f800000);
  const nan32 = float(0x7fa00bcd);
  const bits: string[] = [];
  add64(bits, zero / zero);
  add64(bits, infinity - infinity);
  add64(bits, infinity * zero);
  add64(bits, sqrt<f64>(-one));
  add64(bits, nan + one);
  add64(bits, one - nan);
  add64(bits, nan * -nan);
  add64(bits, floor<f64>(nan));
  add64(bits, <f64>nan32);
  add32(bits, zero32 / zero32);
  add32(bits, nan32 + one32);
  add32(bits, <f32>nan);
  add64(bits, one / 3);
  add64(bits, sqrt<f64>(one + one));
  add32(bits, one32 / 3);
  return writ.answer(new writ.Json().texts("bits", bits));
}

function tools(input: writ.Input): i32 {
  const key = input.text("key");
  const value = input.text("value");
  if (input.wrong != "") return writ.invalid(input);
  if (!writ.kvPut(key, value)) return writ.failAsTool();
  const kept = writ.kvGet(key);
  if (kept === null) return writ.failAsTool();
  writ.log("info", kept.text);
  return writ.answer(new writ.Json().boolean("found", kept.found).text("value", kept.text));
}

// xorshift32 (Marsaglia 2003).
function spin(input: writ.Input): i32 {
  const n = input.count("n");
  if (input.wrong != "") return writ.invalid(input);
  let state: u32 = 2463534242;
  for (let i: u64 = 0; i < n; i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
  }
  return writ.answer(new writ.Json().integer("state", state));
}

const EveryKind = new writ.Fields()
  .any("any", "Any value")
  .boolean("flag", "A flag")
  .integer("number", "A number")
  .text("text", "A text");

function typed(input: writ.Input): i32 {
  return writ.answer(
    new writ.Json()
      .json("any", input.get("any")!)
      .boolean("flag", input.boolean("flag"))
      .integer("number", input.integer("number"))
      .text("text", input.text("text")),
  );
}

const CallIn = new writ.Fields().any("input", "Its input").text("skill", "publisher/name#action");
const CallOut = new writ.Fields().any("output", "Its output");

function call(input: writ.Input): i32 {
  const output = writ.skillCall(input.text("skill"), input.get("input")!);
  if (output === null) return writ.failAsTool();
  return writ.answer(new writ.Json().json("output", output.json));
}

const TellIn = new writ.Fields()
  .text("channel", "PROVIDER/NAME")
  .text("text", "Plain text")
  .text("thread", "Empty: the channel's own");
const TellOut = new writ.Fields().text("id", "The provider's");

function tell(input: writ.Input): i32 {
  const id = writ.messageSend(input.text("channel"), input.text("thread"), input.text("text"));
  if (id === null) return writ.failAsTool();
  return writ.answer(new writ.Json().text("id", id));
}

// What a call came to, or the code of its failure.
function say(what: string, ok: bool, came: string): string {
  return what + " " + (ok ? came : writ.failedCode());
}

function word(value: bool): string {
  return value ? "true" : "false";
}

function hexadecimalOf(bytes: Uint8Array): string {
  let out = "";
  for (let i = 0; i < bytes.length; i++) out += hexadecimal(bytes[i], 2);
  return out;
}

function asked(key: string): string {
  const kept = writ.kvGet(key);
  return say("get", kept !== null, kept === null ? "" : word(kept.found) + " " + kept.text);
}

function askStore(lines: string[]): void {
  const key = "conformance/a";
  lines.push(say("put", writ.kvPut(key, "é\n"), "done"));
  lines.push(asked(key));
  lines.push(asked("conformance/none"));
  const list = writ.kvList("conformance/", "conformance/0");
  lines.push(say("list", list !== null, list === null ? "" : list.keys.join(",") + " " + word(list.more)));
  const deleted = writ.kvDelete(key);
  lines.push(say("delete", deleted >= 0, word(deleted > 0)));
}

function askFiles(lines: string[]): void {
  const path = "conformance/f";
  const bytes = new Uint8Array(4);
  bytes[0] = 0xff;
  bytes[1] = 0xfe;
  bytes[3] = 1;
  lines.push(say("write", writ.fileWrite(path, bytes), "done"));
  lines.push(say("write", writ.fileWrite("conformance/t", Uint8Array.wrap(String.UTF8.encode("é"))), "done"));
  const content = writ.fileRead(path);
  lines.push(say("read", content !== null, content === null ? "" : hexadecimalOf(content)));
  const entries = writ.fileList("conformance");
  const all: string[] = [];
  if (entries !== null) {
    for (let i = 0; i < entries.length; i++) all.push(entries[i].name + " " + word(entries[i].dir) + " " + entries[i].size.toString());
  }
  lines.push(say("files", entries !== null, all.join(",")));
}

function askServer(request: writ.HttpRequest): string {
  const response = writ.http(request);
  if (response === null) return say("http", false, "");
  const type = response.headers.get("content-type") === null ? "-" : response.headers.text("content-type");
  return say("http", true, response.status.toString() + " " + type + " " + hexadecimalOf(response.body));
}

function world(_: writ.Input): i32 {
  const lines: string[] = [];
  writ.log("info", "every tool", new writ.Json().text("of", "conformance"));
  askStore(lines);
  askFiles(lines);
  const get = new writ.HttpRequest("GET", "https://example.com/a");
  get.headers = new writ.Json().text("accept", "text/plain");
  lines.push(askServer(get));
  const post = new writ.HttpRequest("POST", "https://example.com/b");
  const body = new Uint8Array(2);
  body[0] = 0xff;
  post.body = body;
  post.timeout = 5000;
  lines.push(askServer(post));
  return writ.answer(new writ.Json().texts("lines", lines));
}

const actions = [
  new writ.Action("echo", ANYTHING, ANYTHING, echo),
  new writ.Action(
    "big", object('"text"', text("text")),
    object('"bytes","sum","text"', count("bytes") + "," + count("sum") + "," + text("text")), big,
  ),
  new writ.Action("grow", object('"mib"', count("mib")), object('"pages","sum"', count("pages") + "," + count("sum")), grow),
  new writ.Action("fail", object('"reason"', text("reason")), NOTHING, fail),
  new writ.Action("trap", NOTHING, NOTHING, trap),
  new writ.Action(
    "random_and_clock", NOTHING,
    object('"nanoseconds","random","seconds"', count("nanoseconds") + "," + text("random") + "," + count("seconds")), random_and_clock,
  ),
  new writ.Action("floats", NOTHING, object('"bits"', '"bits":{"items":{"type":"string"},"type":"array"}'), floats),
  new writ.Action(
    "tools", object('"key","value"', text("key") + "," + text("value")),
    object('"found","value"', '"found":{"type":"boolean"},' + text("value")), tools,
  ),
  new writ.Action("spin", object('"n"', count("n")), object('"state"', count("state")), spin),
  writ.action("typed", EveryKind, EveryKind, typed),
  new writ.Action("world", NOTHING, object('"lines"', '"lines":{"items":{"type":"string"},"type":"array"}'), world),
  writ.action("call", CallIn, CallOut, call),
  writ.action("tell", TellIn, TellOut, tell),
];

export function writ_run(): i32 {
  return writ.run(actions);
}

export function writ_describe(): i32 {
  return writ.describe(actions);
}
