//! How a skill is written in Rust. One module, no crates.
//!
//! ```ignore
//! mod writ;
//! use writ::Failure;
//!
//! writ::record! {
//!     struct In { name: String = "Who to greet" }
//!     struct Out { greeting: String = "A friendly line" }
//! }
//!
//! fn greet(input: In) -> Result<Out, Failure> {
//!     Ok(Out { greeting: format!("Hello, {}!", input.name) })
//! }
//!
//! writ::actions! { writ::action("greet", greet) }
//! ```
//!
//! A record is a struct, its JSON Schema, and how it is read and written. Its members
//! are `String`, `bool`, `i64`, `u64`, `Vec` of these, and `Json` for any value as it
//! stands. All of them are required, and others are refused. What has another form is
//! written with `raw_action`, `Input` and `Object`.
//!
//! Build it with rustc and wasm-ld, nothing else is needed:
//!
//! ```sh
//! rustc --edition 2021 --crate-type cdylib --target wasm32-unknown-unknown -C opt-level=s \
//!     -C lto -C panic=abort -C strip=debuginfo -o skill.wasm skill.rs
//! ```
//!
//! `strip=debuginfo` leaves the names of functions, with which a failure says where it
//! was. The tools are functions (`kv_get`, `http`, ...), each an import of its own that
//! the linker drops where it is not called: the import section of the module is the
//! list of what the skill can reach. A panic is a failure with the code `panic`.
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
        #[link_name = "skill.call"]
        pub fn skill_call(args: *const u8, size: usize) -> u64;
        #[link_name = "message.send"]
        pub fn message_send(args: *const u8, size: usize) -> u64;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        pub fn random_get(to: *mut u8, size: usize) -> i32;
        pub fn clock_time_get(clock: i32, precision: i64, nanoseconds: *mut u64) -> i32;
        pub fn proc_exit(code: i32) -> !;
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
    /// The JSON of an object.
    pub fn of(json: &str) -> Input {
        Input { json: json.to_string() }
    }

    /// All of it, as canonical JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The members: names, as they stand there with their escapes, and JSON.
    pub fn members(&self) -> Parts<'_> {
        Parts { json: &self.json, at: 0, open: b'{' }
    }

    /// The JSON of a member.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members().find(|(found, _)| *found == name).map(|(_, json)| json)
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

    fn bytes(&self, names: (&str, &str)) -> Vec<u8> {
        match self.text(names.1) {
            Ok(encoded) => from_base64(&encoded),
            Err(_) => self.text(names.0).unwrap_or_default().into_owned().into_bytes(),
        }
    }

    /// A member that is true or false.
    pub fn boolean(&self, name: &str) -> Result<bool, Failure> {
        self.get(name).and_then(|json| json.parse().ok()).ok_or_else(|| Failure::invalid(name, "true or false"))
    }
}

/// The members of an object, or the items of a list, which have no names.
pub struct Parts<'a> {
    json: &'a str,
    at: usize,
    open: u8,
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.json.as_bytes();
        self.at = skip_space(bytes, self.at);
        let begins = if self.at == 0 || self.at == skip_space(bytes, 0) { self.open } else { b',' };
        if bytes.get(self.at) != Some(&begins) {
            return None;
        }
        self.at = skip_space(bytes, self.at + 1);
        let mut name = "";
        if self.open == b'{' {
            if bytes.get(self.at) != Some(&b'"') {
                return None;
            }
            let end = skip_string(bytes, self.at + 1);
            name = &self.json[self.at + 1..end - 1];
            self.at = skip_space(bytes, skip_space(bytes, end) + 1);
        } else if bytes.get(self.at) == Some(&b']') {
            return None;
        }
        let from = self.at;
        self.at = skip_value(bytes, from);
        Some((name, &self.json[from..self.at]))
    }
}

/// The items of a list, as JSON.
pub fn items(json: &str) -> impl Iterator<Item = &str> {
    Parts { json, at: 0, open: b'[' }.map(|(_, item)| item)
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
pub fn decode(json: &str) -> Option<Cow<str>> {
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

/// The character of a \u escape, or of two of them, behind the first u.
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

    /// Bytes under the first name where they are text, else as base64 under the second.
    fn bytes(self, names: (&str, &str), bytes: &[u8]) -> Object {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(names.0, text),
            Err(_) => self.text(names.1, &to_base64(bytes)),
        }
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
    log_with(level, message, &[]);
}

/// log with fields: names and values.
pub fn log_with(level: &str, message: &str, fields: &[(&str, &str)]) {
    let mut args = Object::new().text("level", level).text("message", message);
    if !fields.is_empty() {
        args = args.json("fields", &texts(fields).done());
    }
    let args = args.done();
    unsafe { wire::log(args.as_ptr(), args.len()) };
}

fn texts(members: &[(&str, &str)]) -> Object {
    members.iter().fold(Object::new(), |object, (name, value)| object.text(name, value))
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

/// The keys with the prefix that follow `after` ("" for the first), sorted, at most
/// 100, and whether others follow.
pub fn kv_list(prefix: &str, after: &str) -> Result<(Vec<String>, bool), Failure> {
    let mut args = Object::new().text("prefix", prefix);
    if !after.is_empty() {
        args = args.text("after", after);
    }
    let result = call(wire::kv_list, args)?;
    let keys = items(result.get("keys").unwrap_or_default()).filter_map(decode).map(Cow::into_owned).collect();
    Ok((keys, result.boolean("more").unwrap_or_default()))
}

/// What http takes; Default is an empty request.
#[derive(Default)]
pub struct HttpRequest<'a> {
    /// GET, HEAD, POST, PUT, PATCH or DELETE.
    pub method: &'a str,
    pub url: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    /// Any bytes.
    pub body: &'a [u8],
    /// In milliseconds; 0: what is left of the step's time.
    pub timeout: i64,
}

/// What came back.
pub struct HttpResponse {
    pub status: i64,
    pub body: Vec<u8>,
    headers: Input,
}

impl HttpResponse {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<Cow<str>> {
        self.headers.get(name).and_then(decode)
    }
}

/// Makes a request. A response of any status is a result and no failure.
pub fn http(request: &HttpRequest) -> Result<HttpResponse, Failure> {
    let mut args = Object::new().text("method", request.method).text("url", request.url);
    if !request.headers.is_empty() {
        args = args.json("headers", &texts(request.headers).done());
    }
    if !request.body.is_empty() {
        args = args.bytes(("body", "bodyBase64"), request.body);
    }
    if request.timeout > 0 {
        args = args.integer("timeoutMs", request.timeout);
    }
    let result = call(wire::http_request, args)?;
    Ok(HttpResponse {
        status: result.integer("status")?,
        body: result.bytes(("body", "bodyBase64")),
        headers: Input { json: result.get("headers").unwrap_or("{}").to_string() },
    })
}

pub fn file_read(path: &str) -> Result<Vec<u8>, Failure> {
    Ok(call(wire::file_read, Object::new().text("path", path))?.bytes(("text", "base64")))
}

pub fn file_write(path: &str, content: &[u8]) -> Result<(), Failure> {
    call(wire::file_write, Object::new().text("path", path).bytes(("text", "base64"), content)).map(|_| ())
}

/// A file or a directory.
pub struct Entry {
    pub name: String,
    pub dir: bool,
    pub size: i64,
}

/// The entries of a directory, sorted by name.
pub fn file_list(path: &str) -> Result<Vec<Entry>, Failure> {
    let result = call(wire::file_list, Object::new().text("path", path))?;
    let entry = |json: &str| {
        let one = Input { json: json.to_string() };
        let name = one.text("name").map(Cow::into_owned).unwrap_or_default();
        Entry { name, dir: one.boolean("dir").unwrap_or_default(), size: one.integer("size").unwrap_or_default() }
    };
    Ok(items(result.get("entries").unwrap_or_default()).map(entry).collect())
}

/// Runs an action of another skill, "publisher/name#action", as a step of its own.
pub fn skill_call<Out: Value>(name: &str, input: &impl Value) -> Result<Out, Failure> {
    let (skill, action) = name.split_once('#').unwrap_or((name, ""));
    let mut json = String::new();
    input.write(&mut json);
    let result = call(wire::skill_call, Object::new().text("skill", skill).text("action", action).json("input", &json))?;
    Out::read(result.json()).ok_or_else(|| Failure::new("invalid", &[name, " gave another form of output"].concat()))
}

/// Says plain text in a thread of a channel, "slack/acme", and gives back the provider's
/// id of it. An empty thread is the channel's own, where its provider has one.
pub fn message_send(channel: &str, thread: &str, text: &str) -> Result<String, Failure> {
    let mut args = Object::new().text("channel", channel).text("text", text);
    if !thread.is_empty() {
        args = args.text("thread", thread);
    }
    call(wire::message_send, args)?.text("id").map(Cow::into_owned)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() + 2) / 3 * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The host checks what it gives, so text is base64.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut group, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for digit in text.bytes().filter_map(|c| DIGITS.iter().position(|d| *d == c)) {
        group = group << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
        }
    }
    bytes
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

/// What stands in JSON: a record, or what a member of one can be.
pub trait Value: Sized {
    /// Its JSON Schema, without the braces.
    fn schema(out: &mut String);
    /// What reads it calls it: "want a text".
    const WANT: &'static str;
    fn read(json: &str) -> Option<Self>;
    fn write(&self, out: &mut String);
}

impl Value for String {
    const WANT: &'static str = "a text";

    fn schema(out: &mut String) {
        out.push_str("\"type\":\"string\"");
    }

    fn read(json: &str) -> Option<String> {
        decode(json).map(Cow::into_owned)
    }

    fn write(&self, out: &mut String) {
        quote(out, self);
    }
}

macro_rules! plain_value {
    ($type:ty, $want:literal, $schema:literal) => {
        impl Value for $type {
            const WANT: &'static str = $want;

            fn schema(out: &mut String) {
                out.push_str($schema);
            }

            fn read(json: &str) -> Option<$type> {
                json.parse().ok()
            }

            fn write(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }
        }
    };
}

plain_value!(bool, "true or false", "\"type\":\"boolean\"");
plain_value!(i64, "a whole number", "\"type\":\"integer\"");
plain_value!(u64, "a count", "\"minimum\":0,\"type\":\"integer\"");

/// Any value, as it stands.
#[derive(Clone)]
pub struct Json(pub String);

impl Value for Json {
    const WANT: &'static str = "a value";

    fn schema(_: &mut String) {}

    fn read(json: &str) -> Option<Json> {
        Some(Json(json.to_string()))
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl<T: Value> Value for Vec<T> {
    const WANT: &'static str = "a list";

    fn schema(out: &mut String) {
        out.push_str("\"items\":{");
        T::schema(out);
        out.push_str("},\"type\":\"array\"");
    }

    fn read(json: &str) -> Option<Vec<T>> {
        if !json.starts_with('[') {
            return None;
        }
        items(json).map(T::read).collect()
    }

    fn write(&self, out: &mut String) {
        out.push('[');
        for (i, item) in self.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            item.write(out);
        }
        out.push(']');
    }
}

/// A struct of record!.
pub trait Record: Value {
    fn from_input(input: &Input) -> Result<Self, Failure>;
}

/// An input whose members are not those of a record.
#[doc(hidden)]
pub fn unknown(input: &Input, known: &[&str]) -> Result<(), Failure> {
    match input.members().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(Failure::new("invalid", &["input: /", name, ": is not known"].concat())),
        None => Ok(()),
    }
}

#[doc(hidden)]
pub fn member<T: Value>(input: &Input, name: &str) -> Result<T, Failure> {
    input.get(name).and_then(T::read).ok_or_else(|| Failure::invalid(name, T::WANT))
}

#[doc(hidden)]
pub fn member_schema<T: Value>(out: &mut String, name: &str, about: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    quote(out, name);
    out.push_str(":{\"description\":");
    quote(out, about);
    let end = out.len();
    out.push(',');
    T::schema(out);
    if out.len() == end + 1 {
        out.pop();
    }
    out.push('}');
}

#[doc(hidden)]
pub fn member_json<T: Value>(out: &mut String, name: &str, value: &T) {
    if !out.ends_with('{') {
        out.push(',');
    }
    quote(out, name);
    out.push(':');
    value.write(out);
}

/// Structs with their JSON: `record! { struct In { name: String = "what it is" } ... }`
macro_rules! record {
    ($($(#[$attribute:meta])* struct $record:ident { $($member:ident: $type:ty = $about:literal),* $(,)? })+) => {$(
        $(#[$attribute])*
        pub struct $record {
            $(pub $member: $type,)*
        }

        impl $crate::writ::Value for $record {
            const WANT: &'static str = "an object";

            fn schema(out: &mut String) {
                out.push_str("\"additionalProperties\":false,\"properties\":{");
                $($crate::writ::member_schema::<$type>(out, stringify!($member), $about);)*
                out.push('}');
                let names: &[&str] = &[$(stringify!($member)),*];
                if !names.is_empty() {
                    out.push_str(&[",\"required\":[\"", &names.join("\",\""), "\"]"].concat());
                }
                out.push_str(",\"type\":\"object\"");
            }

            fn read(json: &str) -> Option<$record> {
                $crate::writ::Record::from_input(&$crate::writ::Input::of(json)).ok()
            }

            fn write(&self, out: &mut String) {
                out.push('{');
                $($crate::writ::member_json(out, stringify!($member), &self.$member);)*
                out.push('}');
            }
        }

        impl $crate::writ::Record for $record {
            fn from_input(input: &$crate::writ::Input) -> Result<$record, $crate::writ::Failure> {
                $crate::writ::unknown(input, &[$(stringify!($member)),*])?;
                Ok($record { $($member: $crate::writ::member(input, stringify!($member))?,)* })
            }
        }
    )+};
}
pub(crate) use record;

/// An action of a module.
pub struct Action {
    name: &'static str,
    schemas: Box<dyn Fn() -> (String, String)>,
    run: Box<dyn Fn(&Input) -> Outcome>,
}

/// An action from one record to another. The name is lower-case letters, digits and _.
pub fn action<In, Out>(name: &'static str, function: fn(In) -> Result<Out, Failure>) -> Action
where
    In: Record + 'static,
    Out: Record + 'static,
{
    Action {
        name,
        schemas: Box::new(|| (schema_of::<In>(), schema_of::<Out>())),
        run: Box::new(move |input| {
            let output = function(In::from_input(input)?)?;
            let mut json = String::new();
            output.write(&mut json);
            Ok(json)
        }),
    }
}

fn schema_of<T: Value>() -> String {
    let mut out = String::from("{");
    T::schema(&mut out);
    out.push('}');
    out
}

/// An action from JSON to JSON, with its schemas (JSON Schema 2020-12) as text; the
/// manifest takes them from here.
pub fn raw_action(name: &'static str, schemas: (&'static str, &'static str), function: fn(&Input) -> Outcome) -> Action {
    Action {
        name,
        schemas: Box::new(move || (schemas.0.to_string(), schemas.1.to_string())),
        run: Box::new(function),
    }
}

/// Answers a panic as a failure; without this it would be a trap without a word.
fn on_panic(panic: &std::panic::PanicInfo) {
    let said = panic.payload();
    let message = said.downcast_ref::<&str>().copied().or_else(|| said.downcast_ref::<String>().map(String::as_str));
    let json = Failure::new("panic", message.unwrap_or("a panic")).json();
    unsafe {
        wire::fail(json.as_ptr(), json.len());
        wire::proc_exit(1)
    }
}

#[doc(hidden)]
pub fn run(actions: &[Action]) -> i32 {
    std::panic::set_hook(Box::new(on_panic));
    let name = wire::read(wire::action);
    let outcome = match actions.iter().find(|action| action.name == name) {
        Some(action) => (action.run)(&Input { json: wire::read(wire::input) }),
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
        let (input, output) = (action.schemas)();
        json.push_str(&Object::new().text("name", action.name).json("input", &input).json("output", &output).done());
    }
    json.push_str("]}");
    unsafe { wire::output(json.as_ptr(), json.len()) };
    0
}

/// The actions of the module, once: `actions! { action(name, function), ... }`
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
