//! The conformance skill in Rust; ../README.md says what each action does.
mod writ;

use std::ptr::read_volatile;
use writ::{action, raw_action, Failure, HttpRequest, Input, Json, Object, Outcome};

macro_rules! object {
    ($required:literal, $properties:literal) => {
        concat!(
            r#"{"additionalProperties":false,"properties":{"#, $properties, r#"},"required":["#, $required, r#"],"type":"object"}"#
        )
    };
}

const NOTHING: &str = r#"{"additionalProperties":false,"properties":{},"type":"object"}"#;
const ANYTHING: &str = r#"{"additionalProperties":{},"type":"object"}"#;

const FNV_BASIS: u32 = 2166136261;
const FNV_PRIME: u32 = 16777619;

fn fnv(sum: u32, value: u32) -> u32 {
    (sum ^ value).wrapping_mul(FNV_PRIME)
}

fn echo(input: &Input) -> Outcome {
    Ok(input.json().to_string())
}

fn big(input: &Input) -> Outcome {
    let text = input.text("text")?;
    let sum = text.bytes().fold(FNV_BASIS, |sum, byte| fnv(sum, byte.into()));
    Ok(Object::new().integer("bytes", text.len() as i64).integer("sum", sum.into()).text("text", &text).done())
}

const PIECE: usize = 1 << 20;
const PAGE: usize = 64 << 10;
const PAGES: usize = PIECE / PAGE;

fn word(page: &[u8]) -> u32 {
    u32::from_le_bytes([page[0], page[1], page[2], page[3]])
}

fn grow(input: &Input) -> Outcome {
    let pieces = input.count("mib")? as usize;
    let mut sum = FNV_BASIS;
    let mut all = Vec::with_capacity(pieces);
    for i in 0..pieces {
        let mut piece = vec![0u8; PIECE];
        for (j, page) in piece.chunks_exact_mut(PAGE).enumerate() {
            sum = fnv(sum, word(page));
            page[..4].copy_from_slice(&((i * PAGES + j) as u32).to_le_bytes());
        }
        all.push(piece);
    }
    for piece in &all {
        for page in piece.chunks_exact(PAGE) {
            sum = fnv(sum, word(page));
        }
    }
    Ok(Object::new().integer("pages", (pieces * PAGES) as i64).integer("sum", sum.into()).done())
}

fn fail(input: &Input) -> Outcome {
    Err(Failure::new("refused", &input.text("reason")?).with_fix("ask for something else"))
}

#[inline(never)]
fn give_up() {
    core::arch::wasm32::unreachable()
}

fn trap(input: &Input) -> Outcome {
    give_up();
    Ok(input.json().to_string())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| char::from(b"0123456789abcdef"[digit as usize])).collect()
}

fn random_and_clock(_: &Input) -> Outcome {
    let mut drawn = [0u8; 16];
    writ::random(&mut drawn);
    let now = writ::now();
    Ok(Object::new()
        .integer("nanoseconds", (now % 1_000_000_000) as i64)
        .text("random", &hexadecimal(&drawn))
        .integer("seconds", (now / 1_000_000_000) as i64)
        .done())
}

/// The value, of which the compiler knows nothing: the machine computes.
fn opaque<T>(value: T) -> T {
    unsafe { read_volatile(&value) }
}

fn floats(_: &Input) -> Outcome {
    let (zero, one, infinity) = (opaque(0f64), opaque(1f64), opaque(f64::INFINITY));
    let nan = f64::from_bits(opaque(0x7ff4_0000_00ab_cdef));
    let (zero32, one32) = (opaque(0f32), opaque(1f32));
    let nan32 = f32::from_bits(opaque(0x7fa0_0bcd));
    let double = |value: f64| hexadecimal(&value.to_bits().to_be_bytes());
    let float = |value: f32| hexadecimal(&value.to_bits().to_be_bytes());
    let bits = [
        double(zero / zero),
        double(infinity - infinity),
        double(infinity * zero),
        double((-one).sqrt()),
        double(nan + one),
        double(one - nan),
        double(nan * -nan),
        double(nan.floor()),
        double(nan32.into()),
        float(zero32 / zero32),
        float(nan32 + one32),
        float(nan as f32),
        double(one / 3.0),
        double((one + one).sqrt()),
        float(one32 / 3.0),
    ];
    Ok(Object::new().texts("bits", &bits).done())
}

fn tools(input: &Input) -> Outcome {
    let (key, value) = (input.text("key")?, input.text("value")?);
    writ::kv_put(&key, &value)?;
    let kept = writ::kv_get(&key)?;
    let value = kept.as_deref().unwrap_or_default();
    writ::log("info", value);
    Ok(Object::new().boolean("found", kept.is_some()).text("value", value).done())
}

/// xorshift32 (Marsaglia 2003).
fn spin(input: &Input) -> Outcome {
    let mut state: u32 = 2463534242;
    for _ in 0..input.count("n")? {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
    }
    Ok(Object::new().integer("state", state.into()).done())
}

writ::record! {
    #[derive(Clone)]
    struct EveryKind {
        any: Json = "Any value",
        flag: bool = "A flag",
        number: i64 = "A number",
        text: String = "A text",
    }

    struct CallIn { input: Json = "Its input", skill: String = "publisher/name#action" }
    struct CallOut { output: Json = "Its output" }

    struct TellIn { channel: String = "PROVIDER/NAME", text: String = "Plain text", thread: String = "Empty: the channel's own" }
    struct TellOut { id: String = "The provider's" }
}

fn typed(input: EveryKind) -> Result<EveryKind, Failure> {
    Ok(input)
}

fn call(input: CallIn) -> Result<CallOut, Failure> {
    Ok(CallOut { output: writ::skill_call(&input.skill, &input.input)? })
}

fn tell(input: TellIn) -> Result<TellOut, Failure> {
    Ok(TellOut { id: writ::message_send(&input.channel, &input.thread, &input.text)? })
}

/// What a call came to, or the code of its failure.
fn say(what: &str, came: Result<String, Failure>) -> String {
    format!("{} {}", what, came.unwrap_or_else(|failure| failure.code))
}

fn ask_server(request: &HttpRequest) -> String {
    let told = |response: writ::HttpResponse| {
        let kind = response.header("content-type").unwrap_or("-".into()).into_owned();
        format!("{} {} {}", response.status, kind, hexadecimal(&response.body))
    };
    say("http", writ::http(request).map(told))
}

fn world(_: &Input) -> Outcome {
    let (key, path) = ("conformance/a", "conformance/f");
    let done = |_| "done".to_string();
    let kept = |value: Option<String>| format!("{} {}", value.is_some(), value.unwrap_or_default());
    let entry = |e: &writ::Entry| format!("{} {} {}", e.name, e.dir, e.size);
    let entries = |all: Vec<writ::Entry>| all.iter().map(entry).collect::<Vec<_>>().join(",");
    writ::log_with("info", "every tool", &[("of", "conformance")]);
    let lines = [
        say("put", writ::kv_put(key, "é\n").map(done)),
        say("get", writ::kv_get(key).map(kept)),
        say("get", writ::kv_get("conformance/none").map(kept)),
        say("list", writ::kv_list("conformance/", "conformance/0").map(|(keys, more)| format!("{} {}", keys.join(","), more))),
        say("delete", writ::kv_delete(key).map(|deleted| deleted.to_string())),
        say("write", writ::file_write(path, &[0xff, 0xfe, 0, 1]).map(done)),
        say("write", writ::file_write("conformance/t", "é".as_bytes()).map(done)),
        say("read", writ::file_read(path).map(|content| hexadecimal(&content))),
        say("files", writ::file_list("conformance").map(entries)),
        ask_server(&HttpRequest {
            method: "GET",
            url: "https://example.com/a",
            headers: &[("accept", "text/plain")],
            ..Default::default()
        }),
        ask_server(&HttpRequest {
            method: "POST",
            url: "https://example.com/b",
            body: &[0xff, 0],
            timeout: 5000,
            ..Default::default()
        }),
    ];
    Ok(Object::new().texts("lines", &lines).done())
}

writ::actions! {
    raw_action("echo", (ANYTHING, ANYTHING), echo),
    raw_action(
        "big",
        (
            object!(r#""text""#, r#""text":{"type":"string"}"#),
            object!(
                r#""bytes","sum","text""#,
                r#""bytes":{"minimum":0,"type":"integer"},"sum":{"minimum":0,"type":"integer"},"text":{"type":"string"}"#
            ),
        ),
        big,
    ),
    raw_action(
        "grow",
        (
            object!(r#""mib""#, r#""mib":{"minimum":0,"type":"integer"}"#),
            object!(r#""pages","sum""#, r#""pages":{"minimum":0,"type":"integer"},"sum":{"minimum":0,"type":"integer"}"#),
        ),
        grow,
    ),
    raw_action("fail", (object!(r#""reason""#, r#""reason":{"type":"string"}"#), NOTHING), fail),
    raw_action("trap", (NOTHING, NOTHING), trap),
    raw_action(
        "random_and_clock",
        (
            NOTHING,
            object!(
                r#""nanoseconds","random","seconds""#,
                r#""nanoseconds":{"minimum":0,"type":"integer"},"random":{"type":"string"},"seconds":{"minimum":0,"type":"integer"}"#
            ),
        ),
        random_and_clock,
    ),
    raw_action("floats", (NOTHING, object!(r#""bits""#, r#""bits":{"items":{"type":"string"},"type":"array"}"#)), floats),
    raw_action(
        "tools",
        (
            object!(r#""key","value""#, r#""key":{"type":"string"},"value":{"type":"string"}"#),
            object!(r#""found","value""#, r#""found":{"type":"boolean"},"value":{"type":"string"}"#),
        ),
        tools,
    ),
    raw_action(
        "spin",
        (
            object!(r#""n""#, r#""n":{"minimum":0,"type":"integer"}"#),
            object!(r#""state""#, r#""state":{"minimum":0,"type":"integer"}"#),
        ),
        spin,
    ),
    action("typed", typed),
    raw_action("world", (NOTHING, object!(r#""lines""#, r#""lines":{"items":{"type":"string"},"type":"array"}"#)), world),
    action("call", call),
    action("tell", tell),
}
