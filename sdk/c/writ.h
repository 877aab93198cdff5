/*
 * writ.h: how a skill is written in C. One header, no library, no libc.
 *
 *   #include "writ.h"
 *
 *   #define GREET_IN(M) M(TEXT, name, "Who to greet")
 *   #define GREET_OUT(M) M(TEXT, greeting, "A friendly line")
 *   WRIT_RECORD(greet_in, GREET_IN)
 *   WRIT_RECORD(greet_out, GREET_OUT)
 *
 *   static int greet(const greet_in *in, greet_out *out) {
 *     out->greeting = writ_join(WRIT_TEXT("Hello, "), in->name, WRIT_TEXT("!"));
 *     return WRIT_OK;
 *   }
 *
 *   WRIT_ACTIONS(WRIT_ACTION(greet, greet_in, greet_out))
 *
 * A record is a struct, its JSON Schema, and how it is read and written: its members
 * are TEXT (writ_text), INTEGER (int64_t), BOOLEAN (bool) and JSON (writ_text, any
 * value as it stands). All of them are required, and others are refused. What has
 * another form is written with WRIT_RAW_ACTION, writ_get_... and writ_put_... .
 *
 * Build it with clang and wasm-ld, nothing else is needed:
 *
 *   clang --target=wasm32 -std=c11 -Os -ffreestanding -mbulk-memory -c -o skill.o skill.c
 *   wasm-ld --no-entry --strip-debug --stack-first -z stack-size=16384 -o skill.wasm skill.o
 *
 * --strip-debug leaves the names of functions, with which a trap says where it was.
 *
 * The tools are functions (writ_kv_get, writ_http, ...), each an import of its own that
 * the linker drops where it is not called: the import section of the module is the
 * list of what the skill can reach.
 *
 * Memory is taken from the end of the module's own and never given back: it ends
 * with the run. Where there is no more of it the run ends with memory_limit.
 */
#ifndef WRIT_H
#define WRIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRIT_FN static __attribute__((unused))
#define WRIT_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define WRIT_EXPORT(name) __attribute__((export_name(name), used))

/* Text: size bytes of UTF-8 at at, without a zero at the end. */
typedef struct {
  const char *at;
  size_t size;
} writ_text;

/* The text of a string literal. */
#define WRIT_TEXT(literal) ((writ_text){(literal), sizeof(literal) - 1})

/* ---- The wire (package abi describes it) ---- */

WRIT_IMPORT("writ:core/v1", "input") uint32_t writ_import_input(void *to, uint32_t room);
WRIT_IMPORT("writ:core/v1", "action") uint32_t writ_import_action(void *to, uint32_t room);
WRIT_IMPORT("writ:core/v1", "result") uint32_t writ_import_result(void *to, uint32_t room);
WRIT_IMPORT("writ:core/v1", "output") void writ_import_output(const void *json, uint32_t size);
WRIT_IMPORT("writ:core/v1", "fail") void writ_import_fail(const void *json, uint32_t size);

WRIT_IMPORT("writ:tool/v1", "log") uint64_t writ_import_log(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "http.request") uint64_t writ_import_http_request(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "kv.get") uint64_t writ_import_kv_get(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "kv.put") uint64_t writ_import_kv_put(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "kv.delete") uint64_t writ_import_kv_delete(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "kv.list") uint64_t writ_import_kv_list(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "file.read") uint64_t writ_import_file_read(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "file.write") uint64_t writ_import_file_write(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "file.list") uint64_t writ_import_file_list(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "skill.call") uint64_t writ_import_skill_call(const void *args, uint32_t size);
WRIT_IMPORT("writ:tool/v1", "message.send") uint64_t writ_import_message_send(const void *args, uint32_t size);

WRIT_IMPORT("wasi_snapshot_preview1", "random_get") int32_t writ_import_random(void *to, uint32_t size);
WRIT_IMPORT("wasi_snapshot_preview1", "clock_time_get")
int32_t writ_import_clock(int32_t clock, int64_t precision, uint64_t *nanoseconds);

/* ---- Memory and text ---- */

extern unsigned char __heap_base; /* where the linker's part of the memory ends */
static uintptr_t writ_used;       /* the first byte that nobody has, 0 at first */

enum { WRIT_PAGE = 65536, WRIT_ALIGN = 16 };

WRIT_FN uintptr_t writ_memory_end(void) { return (uintptr_t)__builtin_wasm_memory_size(0) * WRIT_PAGE; }

/* size bytes, zero unless an earlier run of the same instance wrote there, aligned
 * for every type. */
WRIT_FN void *writ_alloc(size_t size) {
  if (writ_used == 0) writ_used = ((uintptr_t)&__heap_base + WRIT_ALIGN - 1) & -(uintptr_t)WRIT_ALIGN;
  uintptr_t at = writ_used, end = writ_memory_end();
  if (size > (size_t)-1 - at - WRIT_PAGE) __builtin_trap();
  if (at + size > end) {
    size_t pages = (at + size - end + WRIT_PAGE - 1) / WRIT_PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) __builtin_trap();
  }
  writ_used = (at + size + WRIT_ALIGN - 1) & -(uintptr_t)WRIT_ALIGN;
  return (void *)at;
}

/* The text of a string that ends with a zero. */
WRIT_FN writ_text writ_string(const char *s) {
  size_t n = 0;
  while (s[n] != 0) n++;
  return (writ_text){s, n};
}

WRIT_FN bool writ_equal(writ_text a, writ_text b) {
  if (a.size != b.size) return false;
  for (size_t i = 0; i < a.size; i++)
    if (a.at[i] != b.at[i]) return false;
  return true;
}

/* Three texts as one. */
WRIT_FN writ_text writ_join(writ_text a, writ_text b, writ_text c) {
  char *at = writ_alloc(a.size + b.size + c.size), *p = at;
  __builtin_memcpy(p, a.at, a.size), p += a.size;
  __builtin_memcpy(p, b.at, b.size), p += b.size;
  __builtin_memcpy(p, c.at, c.size), p += c.size;
  return (writ_text){at, (size_t)(p - at)};
}

/* ---- Reading JSON ---- */

WRIT_FN const char *writ_skip_space(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
  return p;
}

/* p is behind the opening quote; the result is behind the closing one. */
WRIT_FN const char *writ_skip_string(const char *p, const char *end) {
  for (; p < end && *p != '"'; p++)
    if (*p == '\\') p++;
  return p < end ? p + 1 : end;
}

WRIT_FN const char *writ_skip_value(const char *p, const char *end) {
  int depth = 0;
  while (p < end) {
    char c = *p;
    if (c == '"') {
      p = writ_skip_string(p + 1, end);
      if (depth == 0) return p;
      continue;
    }
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') {
      if (depth == 0) return p;
      if (--depth == 0) return p + 1;
    }
    if (depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r')) return p;
    p++;
  }
  return p;
}

/* The members of an object, one after the other: while (writ_pair(&rest, &name,
 * &value)) ... The name is as it stands there, with its escapes. The host checks what
 * it gives, so the object is well formed. */
WRIT_FN bool writ_pair(writ_text *rest, writ_text *name, writ_text *value) {
  const char *end = rest->at + rest->size, *p = writ_skip_space(rest->at, end);
  if (p == end || (*p != '{' && *p != ',')) return false;
  p = writ_skip_space(p + 1, end);
  if (p == end || *p != '"') return false;
  const char *key = p + 1;
  p = writ_skip_string(key, end);
  *name = (writ_text){key, (size_t)(p - 1 - key)};
  p = writ_skip_space(p, end);
  if (p == end || *p != ':') return false;
  const char *at = writ_skip_space(p + 1, end);
  p = writ_skip_value(at, end);
  *value = (writ_text){at, (size_t)(p - at)};
  p = writ_skip_space(p, end);
  *rest = (writ_text){p, (size_t)(end - p)};
  return true;
}

/* The JSON of a member of an object, false where it has none. */
WRIT_FN bool writ_get(writ_text object, const char *name, writ_text *value) {
  writ_text want = writ_string(name), rest = object, found, one;
  while (writ_pair(&rest, &found, &one)) {
    if (!writ_equal(found, want)) continue;
    *value = one;
    return true;
  }
  return false;
}

WRIT_FN int writ_hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The four digits of \uXXXX, -1 where they are none. */
WRIT_FN int32_t writ_unit(const char *p, const char *end) {
  int32_t unit = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int digit = writ_hex(p[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

WRIT_FN char *writ_utf8(char *to, int32_t rune) {
  if (rune < 0x80) {
    *to++ = (char)rune;
  } else if (rune < 0x800) {
    *to++ = (char)(0xc0 | rune >> 6);
    *to++ = (char)(0x80 | (rune & 63));
  } else if (rune < 0x10000) {
    *to++ = (char)(0xe0 | rune >> 12);
    *to++ = (char)(0x80 | (rune >> 6 & 63));
    *to++ = (char)(0x80 | (rune & 63));
  } else {
    *to++ = (char)(0xf0 | rune >> 18);
    *to++ = (char)(0x80 | (rune >> 12 & 63));
    *to++ = (char)(0x80 | (rune >> 6 & 63));
    *to++ = (char)(0x80 | (rune & 63));
  }
  return to;
}

/* The rune of an escape, *p behind the backslash and then behind the escape; -1
 * where it is none. */
WRIT_FN int32_t writ_escape(const char **p, const char *end) {
  if (*p == end) return -1;
  char c = *(*p)++;
  switch (c) {
  case 'b': return '\b';
  case 'f': return '\f';
  case 'n': return '\n';
  case 'r': return '\r';
  case 't': return '\t';
  case 'u': break;
  default: return c;
  }
  int32_t unit = writ_unit(*p, end);
  if (unit < 0) return -1;
  *p += 4;
  if (unit < 0xd800 || unit > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') return unit;
  int32_t low = writ_unit(*p + 2, end);
  if (low < 0xdc00 || low > 0xdfff) return unit;
  *p += 6;
  return 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
}

/* The text of a JSON string, false where json is another value. Nothing is copied
 * unless there are escapes. */
WRIT_FN bool writ_decode(writ_text json, writ_text *text) {
  if (json.size < 2 || json.at[0] != '"') return false;
  const char *p = json.at + 1, *end = json.at + json.size - 1;
  *text = (writ_text){p, (size_t)(end - p)};
  while (p < end && *p != '\\') p++;
  if (p == end) return true;
  char *to = writ_alloc(text->size), *begin = to;
  for (p = text->at; p < end;) {
    if (*p != '\\') {
      *to++ = *p++;
      continue;
    }
    p++;
    int32_t rune = writ_escape(&p, end);
    if (rune < 0) return false;
    to = writ_utf8(to, rune);
  }
  *text = (writ_text){begin, (size_t)(to - begin)};
  return true;
}

/* A member that is a string. */
WRIT_FN bool writ_get_text(writ_text object, const char *name, writ_text *text) {
  writ_text json;
  return writ_get(object, name, &json) && writ_decode(json, text);
}

/* A member that is a whole number of at most 18 digits. */
WRIT_FN bool writ_get_int(writ_text object, const char *name, int64_t *number) {
  writ_text json;
  if (!writ_get(object, name, &json)) return false;
  bool negative = json.size > 0 && json.at[0] == '-';
  size_t i = negative;
  if (json.size == i || json.size - i > 18) return false;
  for (*number = 0; i < json.size; i++) {
    if (json.at[i] < '0' || json.at[i] > '9') return false;
    *number = *number * 10 + (json.at[i] - '0');
  }
  if (negative) *number = -*number;
  return true;
}

/* A member that is true or false. */
WRIT_FN bool writ_get_bool(writ_text object, const char *name, bool *value) {
  writ_text json;
  if (!writ_get(object, name, &json)) return false;
  *value = writ_equal(json, WRIT_TEXT("true"));
  return *value || writ_equal(json, WRIT_TEXT("false"));
}

/* The items of a list, one after the other: while (writ_item(&list, &item)) ... */
WRIT_FN bool writ_item(writ_text *list, writ_text *item) {
  const char *end = list->at + list->size, *p = writ_skip_space(list->at, end);
  if (p == end || (*p != '[' && *p != ',')) return false;
  const char *at = writ_skip_space(p + 1, end);
  if (at == end || *at == ']') return false;
  p = writ_skip_value(at, end);
  *item = (writ_text){at, (size_t)(p - at)};
  p = writ_skip_space(p, end);
  *list = (writ_text){p, (size_t)(end - p)};
  return true;
}

/* ---- Writing JSON ---- */

/* An object or a list while it is written; {0} is nothing yet. Members are put with
 * writ_put_..., items added with writ_add_...; writ_done closes it. */
typedef struct {
  char *at;
  size_t size, room;
  char close; /* what ends it, 0 before the first member or item */
} writ_json;

WRIT_FN void writ_bytes(writ_json *j, const void *from, size_t size) {
  if (j->room - j->size < size) {
    size_t room = j->room * 2 + size + 64;
    char *at = writ_alloc(room);
    __builtin_memcpy(at, j->at, j->size);
    j->at = at;
    j->room = room;
  }
  __builtin_memcpy(j->at + j->size, from, size);
  j->size += size;
}

WRIT_FN void writ_byte(writ_json *j, char c) { writ_bytes(j, &c, 1); }

/* A JSON string, without what stands around it. */
WRIT_FN void writ_quote(writ_json *j, writ_text text) {
  writ_byte(j, '"');
  size_t from = 0;
  for (size_t i = 0; i < text.size; i++) {
    unsigned char c = (unsigned char)text.at[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    writ_bytes(j, text.at + from, i - from);
    from = i + 1;
    char escape[6] = {'\\', 'u', '0', '0', (char)('0' + (c >> 4)), "0123456789abcdef"[c & 15]};
    bool control = c < 0x20;
    if (!control) escape[1] = (char)c;
    writ_bytes(j, escape, control ? 6 : 2);
  }
  writ_bytes(j, text.at + from, text.size - from);
  writ_byte(j, '"');
}

WRIT_FN void writ_next(writ_json *j, char open, char close) {
  writ_byte(j, j->close == 0 ? open : ',');
  j->close = close;
}

/* A member whose value is JSON already. */
WRIT_FN void writ_put_json(writ_json *j, const char *name, writ_text json) {
  writ_next(j, '{', '}');
  writ_quote(j, writ_string(name));
  writ_byte(j, ':');
  writ_bytes(j, json.at, json.size);
}

WRIT_FN void writ_put_text(writ_json *j, const char *name, writ_text text) {
  writ_put_json(j, name, WRIT_TEXT(""));
  writ_quote(j, text);
}

WRIT_FN void writ_put_bool(writ_json *j, const char *name, bool value) {
  writ_put_json(j, name, value ? WRIT_TEXT("true") : WRIT_TEXT("false"));
}

/* A host refuses numbers beyond +-(2^53-1): write those as text. */
WRIT_FN void writ_put_int(writ_json *j, const char *name, int64_t number) {
  char digits[20];
  size_t i = sizeof digits;
  uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
  do digits[--i] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  if (number < 0) digits[--i] = '-';
  writ_put_json(j, name, (writ_text){digits + i, sizeof digits - i});
}

WRIT_FN void writ_add_text(writ_json *j, writ_text text) {
  writ_next(j, '[', ']');
  writ_quote(j, text);
}

WRIT_FN void writ_add_json(writ_json *j, writ_text json) {
  writ_next(j, '[', ']');
  writ_bytes(j, json.at, json.size);
}

/* The JSON; what nothing was put into is an empty object. */
WRIT_FN writ_text writ_done(writ_json *j) {
  if (j->close == 0) return WRIT_TEXT("{}");
  writ_byte(j, j->close);
  return (writ_text){j->at, j->size};
}

/* ---- How an action ends ---- */

/* The output is JSON that is there already. */
WRIT_FN int writ_output(writ_text json) {
  writ_import_output(json.at, json.size);
  return 0;
}

WRIT_FN int writ_answer(writ_json *j) { return writ_output(writ_done(j)); }

static writ_text writ_failed; /* the Failure of the last tool call that failed */

/* The code of the last tool call that failed: "denied", "not_found", ... */
WRIT_FN writ_text writ_failed_code(void) {
  writ_text code = WRIT_TEXT("");
  writ_get_text(writ_failed, "code", &code);
  return code;
}

/* The failure is that of the last tool call. */
WRIT_FN int writ_fail_as_tool(void) {
  writ_import_fail(writ_failed.at, writ_failed.size);
  return 1;
}

/* code is short and for programs (lower-case letters, digits, _), message and fix
 * are for people and hold no secret; fix may be empty. */
WRIT_FN int writ_fail(writ_text code, writ_text message, writ_text fix) {
  writ_json j = {0};
  writ_put_text(&j, "code", code);
  writ_put_text(&j, "message", message);
  if (fix.size > 0) writ_put_text(&j, "fix", fix);
  writ_text json = writ_done(&j);
  writ_import_fail(json.at, json.size);
  return 1;
}

/* A member of the input is not what it must be. */
WRIT_FN int writ_invalid(const char *member, const char *want) {
  writ_text place = writ_join(WRIT_TEXT("input: /"), writ_string(member), WRIT_TEXT(": "));
  return writ_fail(WRIT_TEXT("invalid"), writ_join(place, writ_string(want), WRIT_TEXT("")), WRIT_TEXT(""));
}

/* ---- Tools: false where the call failed, and writ_fail_as_tool says how ---- */

typedef uint32_t writ_reader(void *to, uint32_t room);
typedef uint64_t writ_tool(const void *args, uint32_t size);

/* Reads into what is free of the memory, and asks again where that is too small. */
static inline __attribute__((always_inline)) writ_text writ_read(writ_reader *from) {
  writ_alloc(0);
  char *at = (char *)writ_used;
  uint32_t room = writ_memory_end() - writ_used, size = from(at, room);
  writ_alloc(size);
  if (size > room) from(at, size);
  return (writ_text){at, size};
}

/* Any tool: its import, the JSON of its arguments, and the JSON of its result. */
static inline __attribute__((always_inline)) bool writ_call(writ_tool *tool, writ_text args, writ_text *result) {
  bool failed = tool(args.at, args.size) >> 32 != 0;
  writ_text answer = writ_read(writ_import_result);
  *(failed ? &writ_failed : result) = answer;
  return !failed;
}

/* level is trace, debug, info, warn or error; fields hold texts, {0} where there are
 * none. A line that is refused is dropped. */
WRIT_FN void writ_log_fields(const char *level, writ_text message, writ_json fields) {
  writ_json args = {0};
  writ_put_text(&args, "level", writ_string(level));
  writ_put_text(&args, "message", message);
  if (fields.close != 0) writ_put_json(&args, "fields", writ_done(&fields));
  writ_text json = writ_done(&args);
  writ_import_log(json.at, json.size);
}

WRIT_FN void writ_log(const char *level, writ_text message) { writ_log_fields(level, message, (writ_json){0}); }

WRIT_FN bool writ_kv_put(writ_text key, writ_text value) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "key", key);
  writ_put_text(&args, "value", value);
  return writ_call(writ_import_kv_put, writ_done(&args), &result);
}

/* value is empty where the key has none. */
WRIT_FN bool writ_kv_get(writ_text key, bool *found, writ_text *value) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "key", key);
  *found = false;
  *value = WRIT_TEXT("");
  if (!writ_call(writ_import_kv_get, writ_done(&args), &result)) return false;
  writ_get_bool(result, "found", found);
  writ_get_text(result, "value", value);
  return true;
}

WRIT_FN bool writ_kv_delete(writ_text key, bool *deleted) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "key", key);
  *deleted = false;
  return writ_call(writ_import_kv_delete, writ_done(&args), &result) && writ_get_bool(result, "deleted", deleted);
}

/* The keys with the prefix that follow after (empty: from the first), sorted, at most
 * 100, a list for writ_item and writ_decode; more says that others follow. */
WRIT_FN bool writ_kv_list(writ_text prefix, writ_text after, writ_text *keys, bool *more) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "prefix", prefix);
  if (after.size > 0) writ_put_text(&args, "after", after);
  *keys = WRIT_TEXT("");
  *more = false;
  if (!writ_call(writ_import_kv_list, writ_done(&args), &result)) return false;
  writ_get(result, "keys", keys);
  writ_get_bool(result, "more", more);
  return true;
}

/* ---- Bytes that are no text travel as base64 ---- */

WRIT_FN bool writ_is_utf8(writ_text bytes) {
  for (size_t i = 0; i < bytes.size;) {
    unsigned char c = (unsigned char)bytes.at[i++];
    if (c < 0x80) continue;
    int more = c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 0;
    if (more == 0 || bytes.size - i < (size_t)more) return false;
    unsigned char next = (unsigned char)bytes.at[i]; /* too long, a surrogate, beyond U+10FFFF */
    if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f)) return false;
    for (; more > 0; more--)
      if (((unsigned char)bytes.at[i++] & 0xc0) != 0x80) return false;
  }
  return true;
}

static const char writ_base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

WRIT_FN writ_text writ_to_base64(writ_text bytes) {
  char *at = writ_alloc((bytes.size + 2) / 3 * 4), *p = at;
  for (size_t i = 0; i < bytes.size; i += 3) {
    size_t left = bytes.size - i;
    uint32_t group = (uint32_t)(unsigned char)bytes.at[i] << 16;
    if (left > 1) group |= (uint32_t)(unsigned char)bytes.at[i + 1] << 8;
    if (left > 2) group |= (unsigned char)bytes.at[i + 2];
    *p++ = writ_base64_digits[group >> 18];
    *p++ = writ_base64_digits[group >> 12 & 63];
    *p++ = left > 1 ? writ_base64_digits[group >> 6 & 63] : '=';
    *p++ = left > 2 ? writ_base64_digits[group & 63] : '=';
  }
  return (writ_text){at, (size_t)(p - at)};
}

/* The host checks what it gives, so text is base64. */
WRIT_FN writ_text writ_from_base64(writ_text text) {
  char *at = writ_alloc(text.size / 4 * 3), *p = at;
  uint32_t group = 0;
  int bits = 0;
  for (size_t i = 0; i < text.size && text.at[i] != '='; i++) {
    uint32_t digit = 0;
    while (digit < 63 && writ_base64_digits[digit] != text.at[i]) digit++;
    group = group << 6 | digit;
    if ((bits += 6) >= 8) *p++ = (char)(group >> (bits -= 8));
  }
  return (writ_text){at, (size_t)(p - at)};
}

WRIT_FN void writ_put_bytes(writ_json *j, const char *as_text, const char *as_base64, writ_text bytes) {
  if (writ_is_utf8(bytes)) writ_put_text(j, as_text, bytes);
  else writ_put_text(j, as_base64, writ_to_base64(bytes));
}

WRIT_FN writ_text writ_get_bytes(writ_text object, const char *as_text, const char *as_base64) {
  writ_text bytes = WRIT_TEXT("");
  if (writ_get_text(object, as_base64, &bytes)) return writ_from_base64(bytes);
  writ_get_text(object, as_text, &bytes);
  return bytes;
}

/* ---- Tools with bytes ---- */

typedef struct {
  const char *method; /* GET, HEAD, POST, PUT, PATCH or DELETE */
  writ_text url;
  writ_json headers; /* texts; {0}: none */
  writ_text body;    /* any bytes */
  int64_t timeout;   /* in milliseconds; 0: what is left of the step's time */
} writ_http_request;

typedef struct {
  int64_t status;
  writ_text headers; /* an object of texts with names in lower case, for writ_get_text */
  writ_text body;
} writ_http_response;

/* A response of any status is a result and no failure. */
WRIT_FN bool writ_http(const writ_http_request *request, writ_http_response *response) {
  writ_json args = {0}, headers = request->headers;
  writ_text result;
  writ_put_text(&args, "method", writ_string(request->method));
  writ_put_text(&args, "url", request->url);
  if (headers.close != 0) writ_put_json(&args, "headers", writ_done(&headers));
  if (request->body.size > 0) writ_put_bytes(&args, "body", "bodyBase64", request->body);
  if (request->timeout > 0) writ_put_int(&args, "timeoutMs", request->timeout);
  *response = (writ_http_response){0};
  if (!writ_call(writ_import_http_request, writ_done(&args), &result)) return false;
  writ_get_int(result, "status", &response->status);
  writ_get(result, "headers", &response->headers);
  response->body = writ_get_bytes(result, "body", "bodyBase64");
  return true;
}

WRIT_FN bool writ_file_read(writ_text path, writ_text *content) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "path", path);
  *content = WRIT_TEXT("");
  if (!writ_call(writ_import_file_read, writ_done(&args), &result)) return false;
  *content = writ_get_bytes(result, "text", "base64");
  return true;
}

WRIT_FN bool writ_file_write(writ_text path, writ_text content) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "path", path);
  writ_put_bytes(&args, "text", "base64", content);
  return writ_call(writ_import_file_write, writ_done(&args), &result);
}

/* The entries of a directory, sorted, a list for writ_file. */
WRIT_FN bool writ_file_list(writ_text path, writ_text *entries) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "path", path);
  *entries = WRIT_TEXT("");
  return writ_call(writ_import_file_list, writ_done(&args), &result) && writ_get(result, "entries", entries);
}

typedef struct {
  writ_text name;
  bool dir;
  int64_t size;
} writ_entry;

/* The entries, one after the other: while (writ_file(&entries, &entry)) ... */
WRIT_FN bool writ_file(writ_text *entries, writ_entry *entry) {
  writ_text object;
  if (!writ_item(entries, &object)) return false;
  *entry = (writ_entry){0};
  writ_get_text(object, "name", &entry->name);
  writ_get_bool(object, "dir", &entry->dir);
  writ_get_int(object, "size", &entry->size);
  return true;
}

/* Runs an action of another skill, "publisher/name#action", as a step of its own;
 * input and output are JSON. */
WRIT_FN bool writ_skill_call(writ_text name, writ_text input, writ_text *output) {
  size_t mark = 0;
  while (mark < name.size && name.at[mark] != '#') mark++;
  size_t action = mark < name.size ? mark + 1 : mark;
  writ_json args = {0};
  writ_put_text(&args, "skill", (writ_text){name.at, mark});
  writ_put_text(&args, "action", (writ_text){name.at + action, name.size - action});
  writ_put_json(&args, "input", input);
  *output = WRIT_TEXT("");
  return writ_call(writ_import_skill_call, writ_done(&args), output);
}

/* Says plain text in a thread of a channel, "slack/acme"; id is the provider's. An empty
 * thread is the channel's own, where its provider has one. */
WRIT_FN bool writ_message_send(writ_text channel, writ_text thread, writ_text text, writ_text *id) {
  writ_json args = {0};
  writ_text result;
  writ_put_text(&args, "channel", channel);
  if (thread.size > 0) writ_put_text(&args, "thread", thread);
  writ_put_text(&args, "text", text);
  *id = WRIT_TEXT("");
  if (!writ_call(writ_import_message_send, writ_done(&args), &result)) return false;
  writ_get_text(result, "id", id);
  return true;
}

/* ---- Time and randomness: recorded, hence no source of keys or nonces ---- */

WRIT_FN void writ_random(void *to, uint32_t size) {
  if (writ_import_random(to, size) != 0) __builtin_trap();
}

/* Nanoseconds since 1970. */
WRIT_FN uint64_t writ_now(void) {
  uint64_t nanoseconds = 0;
  if (writ_import_clock(0, 1, &nanoseconds) != 0) __builtin_trap();
  return nanoseconds;
}

/* ---- Records: a struct, its schema, and its JSON ---- */

enum { WRIT_KIND_TEXT = 1, WRIT_KIND_INTEGER, WRIT_KIND_BOOLEAN, WRIT_KIND_JSON };

#define WRIT_TYPE_TEXT writ_text
#define WRIT_TYPE_INTEGER int64_t
#define WRIT_TYPE_BOOLEAN bool
#define WRIT_TYPE_JSON writ_text

typedef struct {
  const char *name, *about;
  size_t offset;
  int kind; /* 0 ends a list of them */
} writ_member;

#define WRIT_STRUCT_MEMBER(kind, name, about) WRIT_TYPE_##kind name;
#define WRIT_TABLE_MEMBER(kind, name, about) {#name, about, __builtin_offsetof(writ_this, name), WRIT_KIND_##kind},

/* WRIT_RECORD(type, MEMBERS), where MEMBERS(M) is M(KIND, name, "what it is") ... */
#define WRIT_RECORD(type, MEMBERS)                                                          \
  typedef struct type {                                                                     \
    MEMBERS(WRIT_STRUCT_MEMBER)                                                             \
  } type;                                                                                   \
  static const writ_member *type##_members(void) {                                          \
    typedef type writ_this;                                                                 \
    static const writ_member members[] = {MEMBERS(WRIT_TABLE_MEMBER){0, 0, 0, 0}};          \
    return members;                                                                         \
  }

WRIT_FN writ_text writ_record_schema(const writ_member *members) {
  writ_json schema = {0}, properties = {0}, required = {0};
  static const char *const types[] = {"", "string", "integer", "boolean", ""};
  for (const writ_member *m = members; m->kind != 0; m++) {
    writ_json one = {0};
    if (m->about[0] != 0) writ_put_text(&one, "description", writ_string(m->about));
    if (types[m->kind][0] != 0) writ_put_text(&one, "type", writ_string(types[m->kind]));
    writ_put_json(&properties, m->name, writ_done(&one));
    writ_add_text(&required, writ_string(m->name));
  }
  writ_put_bool(&schema, "additionalProperties", false);
  writ_put_json(&schema, "properties", writ_done(&properties));
  if (required.close != 0) writ_put_json(&schema, "required", writ_done(&required));
  writ_put_text(&schema, "type", WRIT_TEXT("object"));
  return writ_done(&schema);
}

/* NULL, or what is wrong with the member at *wrong. */
WRIT_FN const char *writ_record_read(writ_text json, const writ_member *members, void *record, const char **wrong) {
  size_t known = 0, all = 0;
  for (const writ_member *m = members; m->kind != 0; m++, known++) {
    void *at = (char *)record + m->offset;
    writ_text value;
    *wrong = m->name;
    if (!writ_get(json, m->name, &value)) return "is missing";
    if (m->kind == WRIT_KIND_TEXT && !writ_decode(value, at)) return "want a text";
    if (m->kind == WRIT_KIND_INTEGER && !writ_get_int(json, m->name, at)) return "want a whole number";
    if (m->kind == WRIT_KIND_BOOLEAN && !writ_get_bool(json, m->name, at)) return "want true or false";
    if (m->kind == WRIT_KIND_JSON) *(writ_text *)at = value;
  }
  writ_text rest = json;
  for (writ_text name, value; writ_pair(&rest, &name, &value);) all++;
  *wrong = "";
  return all == known ? (const char *)0 : "there are members that are not known";
}

WRIT_FN writ_text writ_record_json(const writ_member *members, const void *record) {
  writ_json out = {0};
  for (const writ_member *m = members; m->kind != 0; m++) {
    const void *at = (const char *)record + m->offset;
    if (m->kind == WRIT_KIND_TEXT) writ_put_text(&out, m->name, *(const writ_text *)at);
    if (m->kind == WRIT_KIND_INTEGER) writ_put_int(&out, m->name, *(const int64_t *)at);
    if (m->kind == WRIT_KIND_BOOLEAN) writ_put_bool(&out, m->name, *(const bool *)at);
    if (m->kind == WRIT_KIND_JSON) writ_put_json(&out, m->name, *(const writ_text *)at);
  }
  return writ_done(&out);
}

/* ---- The module's exports ---- */

enum { WRIT_OK = 0 }; /* what an action with records returns where all is well */

typedef int writ_raw_run(writ_text input);
typedef int writ_record_run(const void *in, void *out);

typedef struct {
  const char *name;           /* lower-case letters, digits and _ */
  const char *input, *output; /* JSON Schema 2020-12, of raw actions */
  writ_raw_run *raw;
  const writ_member *(*in)(void), *(*out)(void);
  size_t in_size, out_size;
  writ_record_run *run;
} writ_action;

/* An action whose function is int (const in *, out *). */
#define WRIT_ACTION(function, in, out)                                                      \
  {#function, 0, 0, 0, in##_members, out##_members, sizeof(in), sizeof(out),                \
   _Generic(&function, int (*)(const in *, out *): (writ_record_run *)function)}

/* An action whose function is int (writ_text), from JSON to writ_answer, writ_output,
 * writ_fail or one of their kind, with its schemas as text. */
#define WRIT_RAW_ACTION(name, input, output, function) {name, input, output, function, 0, 0, 0, 0, 0}

WRIT_FN int writ_run_record(const writ_action *action, writ_text input) {
  void *in = writ_alloc(action->in_size), *out = writ_alloc(action->out_size);
  __builtin_memset(out, 0, action->out_size);
  const char *member, *wrong = writ_record_read(input, action->in(), in, &member);
  if (wrong) return writ_invalid(member, wrong);
  writ_record_run *volatile run = action->run; /* keeps the function's own name in a trace */
  int status = run(in, out);
  return status != WRIT_OK ? status : writ_output(writ_record_json(action->out(), out));
}

WRIT_FN int writ_run_one(const writ_action *actions, size_t count) {
  writ_used = 0;
  writ_text name = writ_read(writ_import_action);
  for (size_t i = 0; i < count; i++) {
    if (!writ_equal(name, writ_string(actions[i].name))) continue;
    writ_text input = writ_read(writ_import_input);
    if (actions[i].run) return writ_run_record(&actions[i], input);
    writ_raw_run *volatile run = actions[i].raw;
    return run(input);
  }
  return writ_fail(WRIT_TEXT("unknown_action"), WRIT_TEXT("this skill has no such action"), WRIT_TEXT(""));
}

WRIT_FN int writ_describe_all(const writ_action *actions, size_t count) {
  writ_used = 0;
  writ_json list = {0}, all = {0};
  for (size_t i = 0; i < count; i++) {
    writ_json one = {0};
    const writ_action *a = &actions[i];
    writ_put_text(&one, "name", writ_string(a->name));
    writ_put_json(&one, "input", a->run ? writ_record_schema(a->in()) : writ_string(a->input));
    writ_put_json(&one, "output", a->run ? writ_record_schema(a->out()) : writ_string(a->output));
    writ_add_json(&list, writ_done(&one));
  }
  writ_put_json(&all, "actions", writ_done(&list));
  return writ_answer(&all);
}

/* The actions of the module, once. */
#define WRIT_ACTIONS(...)                                                                   \
  static const writ_action writ_actions[] = {__VA_ARGS__};                                  \
  WRIT_EXPORT("writ_run") int writ_run(void) {                                              \
    return writ_run_one(writ_actions, sizeof writ_actions / sizeof *writ_actions);          \
  }                                                                                         \
  WRIT_EXPORT("writ_describe") int writ_describe(void) {                                    \
    return writ_describe_all(writ_actions, sizeof writ_actions / sizeof *writ_actions);     \
  }

#endif
