//! How a skill is written in Rust. One module, no crates.
//!
//! ```ignore
//! mod writ;
//! use writ::{Input, Object, Outcome};
//!
//! fn greet(input: &Input) -> Outcome {
//!     let name = input.text("name")?;
//!     Ok(Object::new().text("greeting", &format!("Hello, {name}!")).done())
//! }
//!
//! writ::actions! { ("greet", GREET_INPUT, GREET_OUTPUT, greet) }
//! ```
//!
//! Build it with rustc and wasm-ld, nothing else is needed:
//!
//! ```sh
//! rustc --edition 2021 --crate-type cdylib --target wasm32-unknown-unknown -C opt-level=s \
//!     -C lto -C panic=abort -C strip=symbols -o skill.wasm skill.rs
//! ```
//!
//! An action is a function from its input to JSON or a `Failure`. The tools are
//! functions (`kv_get`, `log`, ...), each an import of its own that the linker drops
//! where it is not called: the import section of the module is the list of what the
//! skill can reach. A panic is a trap, and its message is lost: answer a `Failure`.
#![allow(dead_code)] // a skill uses what it needs

use std::borrow::Cow;

/// The wire; Writ's package abi describes it.
mod wire {
    pub type Reader = unsafe extern "C" fn(to: *mut u8, room: usize) -> usize;
    pub type Tool = unsafe extern "C" fn(args: *const u8, size: usize) -> u64;

    #[link(wasm_import_module = "writ:core/v1")]
    extern "C" {
        pub fn input(to: *mut u8, room: usize) -> usize;
        pub fn action(to: *mut u8, room: usize) -> usize;
        pub fn result(to: *mut u8, room: usize) -> usize;
        pub fn output(json: *const u8, size: usize);
        pub fn fail(json: *const u8, size: usize);
    }

    #[link(wasm_import_module = "writ:tool/v1")]
    extern "C" {
        pub fn log(args: *const u8, size: usize) -> u64;
        #[link_name = "http.request"]
        pub fn http_request(args: *const u8, size: usize) -> u64;
        #[link_name = "kv.get"]
        pub fn kv_get(args: *const u8, size: usize) -> u64;
        #[link_name = "kv.put"]
        pub fn kv_put(args: *const u8, size: usize) -> u64;
        #[link_name = "kv.delete"]
        pub fn kv_delete(args: *const u8, size: usize) -> u64;
        #[link_name = "kv.list"]
        pub fn kv_list(args: *const u8, size: usize) -> u64;
        #[link_name = "file.read"]
        pub fn file_read(args: *const u8, size: usize) -> u64;
        #[link_name = "file.write"]
        pub fn file_write(args: *const u8, size: usize) -> u64;
        #[link_name = "file.list"]
        pub fn file_list(args: *const u8, size: usize) -> u64;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        pub fn random_get(to: *mut u8, size: usize) -> i32;
        pub fn clock_time_get(clock: i32, precision: i64, nanoseconds: *mut u64) -> i32;
    }

    /// Fits most inputs, so that they cost one host call and not two.
    const FIRST_READ: usize = 4 << 10;

    pub fn read(from: Reader) -> String {
        let mut bytes: Vec<u8> = Vec::with_capacity(FIRST_READ);
        unsafe {
            let size = from(bytes.as_mut_ptr(), bytes.capacity());
            if size > bytes.capacity() {
                bytes.reserve_exact(size);
                from(bytes.as_mut_ptr(), size);
            }
            bytes.set_len(size);
            String::from_utf8_unchecked(bytes) // the host gives JSON and names
        }
    }
}

/// How an action or a tool says no.
pub struct Failure {
    /// For programs: short, lower-case letters, digits and _.
    pub code: String,
    /// For people. It must not hold a secret.
    pub message: String,
    /// What to do next, or nothing.
    pub fix: String,
}

impl Failure {
    pub fn new(code: &str, message: &str) -> Failure {
        Failure { code: code.to_string(), message: message.to_string(), fix: String::new() }
    }

    pub fn with_fix(mut self, fix: &str) -> Failure {
        self.fix = fix.to_string();
        self
    }

    fn invalid(member: &str, want: &str) -> Failure {
        Failure::new("invalid", &["input: /", member, ": want ", want].concat())
    }

    fn json(&self) -> String {
        let out = Object::new().text("code", &self.code).text("message", &self.message);
        if self.fix.is_empty() { out.done() } else { out.text("fix", &self.fix).done() }
    }

    fn parse(json: String) -> Failure {
        let object = Input { json };
        let member = |name| object.text(name).map(Cow::into_owned).unwrap_or_default();
        Failure { code: member("code"), message: member("message"), fix: member("fix") }
    }
}

/// What an action comes to: the JSON of its output, or a failure.
pub type Outcome = Result<String, Failure>;

/// A JSON object: an action's input, or the result of a tool. The host checks what
/// it gives, so it is well formed.
pub struct Input {
    json: String,
}

impl Input {
    /// All of it, as canonical JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON of a member.
    pub fn get(&self, name: &str) -> Option<&str> {
        let bytes = self.json.as_bytes();
        let mut at = skip_space(bytes, 0);
        if bytes.get(at) != Some(&b'{') {
            return None;
        }
        loop {
            at = skip_space(bytes, at + 1);
            if bytes.get(at) != Some(&b'"') {
                return None;
            }
            let end = skip_string(bytes, at + 1);
            let key = &bytes[at + 1..end - 1];
            at = skip_space(bytes, skip_space(bytes, end) + 1);
            let end = skip_value(bytes, at);
            if key == name.as_bytes() {
                return Some(&self.json[at..end]);
            }
            at = skip_space(bytes, end);
            if bytes.get(at) != Some(&b',') {
                return None;
            }
        }
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Result<Cow<str>, Failure> {
        self.get(name).and_then(decode).ok_or_else(|| Failure::invalid(name, "a text"))
    }

    /// A member that is a whole number.
    pub fn integer(&self, name: &str) -> Result<i64, Failure> {
        self.get(name).and_then(|json| json.parse().ok()).ok_or_else(|| Failure::invalid(name, "a whole number"))
    }

    /// A member that is a whole number and not negative.
    pub fn count(&self, name: &str) -> Result<u64, Failure> {
        self.get(name).and_then(|json| json.parse().ok()).ok_or_else(|| Failure::invalid(name, "a count"))
    }

    /// A member that is true or false.
    pub fn boolean(&self, name: &str) -> Result<bool, Failure> {
        self.get(name).and_then(|json| json.parse().ok()).ok_or_else(|| Failure::invalid(name, "true or false"))
    }
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// at is behind the opening quote; the result is behind the closing one.
fn skip_string(json: &[u8], mut at: usize) -> usize {
    while json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn skip_value(json: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at = skip_string(json, at + 1);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The text of a JSON string. Nothing is copied unless there are escapes.
fn decode(json: &str) -> Option<Cow<str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escaped = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escaped.len_utf8()..];
        match escaped {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => text.push(unicode(&mut rest)?),
            other => text.push(other),
        }
    }
    text.push_str(rest);
    Some(Cow::Owned(text))
}

/// The character of \uXXXX, or of two of them, behind the first u.
fn unicode(rest: &mut &str) -> Option<char> {
    let mut unit = |skip: usize| -> Option<u32> {
        let value = u32::from_str_radix(rest.get(skip..skip + 4)?, 16).ok()?;
        *rest = &rest[skip + 4..];
        Some(value)
    };
    let first = unit(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    let second = unit(2)?.checked_sub(0xdc00)?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\0'..='\u{1f}' => {
                out.push_str("\\u00");
                out.push(char::from(b'0' + (c as u8 >> 4)));
                out.push(char::from(b"0123456789abcdef"[(c as u8 & 15) as usize]));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// A JSON object while it is written.
pub struct Object {
    json: String,
}

impl Object {
    pub fn new() -> Object {
        Object { json: String::from("{") }
    }

    /// A member whose value is JSON already.
    pub fn json(mut self, name: &str, json: &str) -> Object {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        quote(&mut self.json, name);
        self.json.push(':');
        self.json.push_str(json);
        self
    }

    pub fn text(self, name: &str, text: &str) -> Object {
        let mut out = self.json(name, "");
        quote(&mut out.json, text);
        out
    }

    /// A host refuses numbers beyond +-(2^53-1): write those as text.
    pub fn integer(self, name: &str, number: i64) -> Object {
        self.json(name, &number.to_string())
    }

    pub fn boolean(self, name: &str, value: bool) -> Object {
        self.json(name, if value { "true" } else { "false" })
    }

    pub fn texts<T: AsRef<str>>(self, name: &str, items: &[T]) -> Object {
        let mut out = self.json(name, "[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.json.push(',');
            }
            quote(&mut out.json, item.as_ref());
        }
        out.json.push(']');
        out
    }

    pub fn done(mut self) -> String {
        self.json.push('}');
        self.json
    }
}

fn call(tool: wire::Tool, args: Object) -> Result<Input, Failure> {
    let args = args.done();
    let failed = unsafe { tool(args.as_ptr(), args.len()) } >> 32 != 0;
    let json = wire::read(wire::result);
    if failed { Err(Failure::parse(json)) } else { Ok(Input { json }) }
}

/// level is trace, debug, info, warn or error. A line that is refused is dropped.
pub fn log(level: &str, message: &str) {
    let args = Object::new().text("level", level).text("message", message).done();
    unsafe { wire::log(args.as_ptr(), args.len()) };
}

pub fn kv_put(key: &str, value: &str) -> Result<(), Failure> {
    call(wire::kv_put, Object::new().text("key", key).text("value", value)).map(|_| ())
}

pub fn kv_get(key: &str) -> Result<Option<String>, Failure> {
    let result = call(wire::kv_get, Object::new().text("key", key))?;
    let found = result.boolean("found")?;
    Ok(found.then(|| result.text("value").map(Cow::into_owned).unwrap_or_default()))
}

/// Whether the key had a value.
pub fn kv_delete(key: &str) -> Result<bool, Failure> {
    call(wire::kv_delete, Object::new().text("key", key))?.boolean("deleted")
}

/// The arguments and the result are those of docs/tools.md.
pub fn http_request(args: Object) -> Result<Input, Failure> {
    call(wire::http_request, args)
}

pub fn kv_list(args: Object) -> Result<Input, Failure> {
    call(wire::kv_list, args)
}

pub fn file_read(path: &str) -> Result<Input, Failure> {
    call(wire::file_read, Object::new().text("path", path))
}

pub fn file_write(args: Object) -> Result<(), Failure> {
    call(wire::file_write, args).map(|_| ())
}

pub fn file_list(path: &str) -> Result<Input, Failure> {
    call(wire::file_list, Object::new().text("path", path))
}

/// Fills bytes. Randomness is recorded, hence no source of keys or nonces.
pub fn random(bytes: &mut [u8]) {
    assert!(unsafe { wire::random_get(bytes.as_mut_ptr(), bytes.len()) } == 0);
}

/// Nanoseconds since 1970, by the clock of the record.
pub fn now() -> u64 {
    let mut nanoseconds = 0;
    assert!(unsafe { wire::clock_time_get(0, 1, &mut nanoseconds) } == 0);
    nanoseconds
}

/// An action: its name (lower-case letters, digits and _), the JSON Schemas
/// (2020-12) of its input and output, which the manifest takes from here, and the
/// function.
pub type Action = (&'static str, &'static str, &'static str, fn(&Input) -> Outcome);

#[doc(hidden)]
pub fn run(actions: &[Action]) -> i32 {
    let name = wire::read(wire::action);
    let outcome = match actions.iter().find(|action| action.0 == name) {
        Some(action) => action.3(&Input { json: wire::read(wire::input) }),
        None => Err(Failure::new("unknown_action", "this skill has no such action")),
    };
    match outcome {
        Ok(json) => unsafe { wire::output(json.as_ptr(), json.len()) },
        Err(failure) => {
            let json = failure.json();
            unsafe { wire::fail(json.as_ptr(), json.len()) };
            return 1;
        }
    }
    0
}

#[doc(hidden)]
pub fn describe(actions: &[Action]) -> i32 {
    let mut json = String::from("{\"actions\":[");
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            json.push(',');
        }
        json.push_str(&Object::new().text("name", action.0).json("input", action.1).json("output", action.2).done());
    }
    json.push_str("]}");
    unsafe { wire::output(json.as_ptr(), json.len()) };
    0
}

/// The actions of the module, once: `actions! { (name, input, output, function), ... }`
macro_rules! actions {
    ($($action:expr),* $(,)?) => {
        #[no_mangle]
        pub extern "C" fn writ_run() -> i32 {
            $crate::writ::run(&[$($action),*])
        }
        #[no_mangle]
        pub extern "C" fn writ_describe() -> i32 {
            $crate::writ::describe(&[$($action),*])
        }
    };
}
pub(crate) use actions;
