/*
 * writ.h: how a skill is written in C. One header, no library, no libc.
 *
 *   #include "writ.h"
 *
 *   static int greet(writ_text input) {
 *     writ_text name;
 *     if (!writ_get_text(input, "name", &name)) return writ_invalid("name", "want a text");
 *     writ_json out = {0};
 *     writ_put_text(&out, "name", name);
 *     return writ_answer(&out);
 *   }
 *
 *   WRIT_ACTIONS({"greet", GREET_INPUT, GREET_OUTPUT, greet})
 *
 * Build it with clang and wasm-ld, nothing else is needed:
 *
 *   clang --target=wasm32 -std=c11 -Os -ffreestanding -mbulk-memory -c -o skill.o skill.c
 *   wasm-ld --no-entry --strip-all --stack-first -z stack-size=16384 -o skill.wasm skill.o
 *
 * An action is a function that takes its input, the canonical JSON of an object,
 * and ends with writ_answer, writ_output, writ_fail or one of their kind, whose
 * result it returns. The tools are functions (writ_kv_get, writ_log, ...), each
 * an import of its own that the linker drops where it is not called: the import
 * section of the module is the list of what the skill can reach.
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

/* The JSON of a member of an object, false where it has none. The host checks what
 * it gives, so object is well formed. */
WRIT_FN bool writ_get(writ_text object, const char *name, writ_text *value) {
  writ_text want = writ_string(name);
  const char *end = object.at + object.size, *p = writ_skip_space(object.at, end);
  if (p == end || *p != '{') return false;
  for (p++; (p = writ_skip_space(p, end)) < end && *p == '"'; p++) {
    const char *key = p + 1;
    p = writ_skip_string(key, end);
    writ_text found = {key, (size_t)(p - 1 - key)};
    p = writ_skip_space(p, end);
    if (p == end || *p != ':') return false;
    const char *at = writ_skip_space(p + 1, end);
    p = writ_skip_value(at, end);
    if (writ_equal(found, want)) {
      *value = (writ_text){at, (size_t)(p - at)};
      return true;
    }
    p = writ_skip_space(p, end);
    if (p == end || *p != ',') return false;
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
  writ_text name = writ_string(member), what = writ_string(want), head = WRIT_TEXT("input: /");
  char *at = writ_alloc(head.size + name.size + 2 + what.size), *p = at;
  __builtin_memcpy(p, head.at, head.size), p += head.size;
  __builtin_memcpy(p, name.at, name.size), p += name.size;
  *p++ = ':', *p++ = ' ';
  __builtin_memcpy(p, what.at, what.size), p += what.size;
  return writ_fail(WRIT_TEXT("invalid"), (writ_text){at, (size_t)(p - at)}, WRIT_TEXT(""));
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

/* level is trace, debug, info, warn or error. A line that is refused is dropped. */
WRIT_FN void writ_log(const char *level, writ_text message) {
  writ_json args = {0};
  writ_put_text(&args, "level", writ_string(level));
  writ_put_text(&args, "message", message);
  writ_text json = writ_done(&args);
  writ_import_log(json.at, json.size);
}

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

/* ---- The module's exports ---- */

typedef struct {
  const char *name;          /* lower-case letters, digits and _ */
  const char *input, *output; /* JSON Schema 2020-12; the manifest takes them from here */
  int (*run)(writ_text input);
} writ_action;

WRIT_FN int writ_run_one(const writ_action *actions, size_t count) {
  writ_used = 0;
  writ_text name = writ_read(writ_import_action);
  for (size_t i = 0; i < count; i++)
    if (writ_equal(name, writ_string(actions[i].name))) return actions[i].run(writ_read(writ_import_input));
  return writ_fail(WRIT_TEXT("unknown_action"), WRIT_TEXT("this skill has no such action"), WRIT_TEXT(""));
}

WRIT_FN int writ_describe_all(const writ_action *actions, size_t count) {
  writ_used = 0;
  writ_json list = {0}, all = {0};
  for (size_t i = 0; i < count; i++) {
    writ_json one = {0};
    writ_put_text(&one, "name", writ_string(actions[i].name));
    writ_put_json(&one, "input", writ_string(actions[i].input));
    writ_put_json(&one, "output", writ_string(actions[i].output));
    writ_add_json(&list, writ_done(&one));
  }
  writ_put_json(&all, "actions", writ_done(&list));
  return writ_answer(&all);
}

/* The actions of the module, once: WRIT_ACTIONS({name, input, output, run}, ...) */
#define WRIT_ACTIONS(...)                                                                   \
  static const writ_action writ_actions[] = {__VA_ARGS__};                                  \
  WRIT_EXPORT("writ_run") int writ_run(void) {                                              \
    return writ_run_one(writ_actions, sizeof writ_actions / sizeof *writ_actions);          \
  }                                                                                         \
  WRIT_EXPORT("writ_describe") int writ_describe(void) {                                    \
    return writ_describe_all(writ_actions, sizeof writ_actions / sizeof *writ_actions);     \
  }

#endif
