/* The conformance skill in C; ../README.md says what each action does. */
#include "writ.h"

#define OBJECT(required, properties)                                                        \
  "{\"additionalProperties\":false,\"properties\":{" properties "},\"required\":[" required "],\"type\":\"object\"}"
#define NOTHING "{\"additionalProperties\":false,\"properties\":{},\"type\":\"object\"}"
#define ANYTHING "{\"additionalProperties\":{},\"type\":\"object\"}"
#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define COUNT(name) "\"" name "\":{\"minimum\":0,\"type\":\"integer\"}"

static int echo(writ_text input) { return writ_output(input); }

enum { FNV_BASIS = 2166136261u, FNV_PRIME = 16777619u };

static int big(writ_text input) {
  writ_text text;
  if (!writ_get_text(input, "text", &text)) return writ_invalid("text", "want a text");
  uint32_t sum = FNV_BASIS;
  for (size_t i = 0; i < text.size; i++) sum = (sum ^ (uint8_t)text.at[i]) * FNV_PRIME;
  writ_json out = {0};
  writ_put_int(&out, "bytes", text.size);
  writ_put_int(&out, "sum", sum);
  writ_put_text(&out, "text", text);
  return writ_answer(&out);
}

enum { PIECE = 1 << 20, PAGES = PIECE / WRIT_PAGE };

static int grow(writ_text input) {
  int64_t pieces;
  if (!writ_get_int(input, "mib", &pieces) || pieces < 0) return writ_invalid("mib", "want a count");
  uint32_t sum = FNV_BASIS;
  uint8_t **all = writ_alloc(pieces * sizeof *all);
  for (uint32_t i = 0; i < pieces; i++) {
    all[i] = writ_alloc(PIECE);
    for (uint32_t j = 0; j < PAGES; j++) {
      volatile uint32_t *page = (volatile uint32_t *)(all[i] + j * WRIT_PAGE);
      sum = (sum ^ *page) * FNV_PRIME;
      *page = i * PAGES + j;
    }
  }
  for (uint32_t i = 0; i < pieces; i++)
    for (uint32_t j = 0; j < PAGES; j++) sum = (sum ^ *(volatile uint32_t *)(all[i] + j * WRIT_PAGE)) * FNV_PRIME;
  writ_json out = {0};
  writ_put_int(&out, "pages", pieces * PAGES);
  writ_put_int(&out, "sum", sum);
  return writ_answer(&out);
}

static int fail(writ_text input) {
  writ_text reason;
  if (!writ_get_text(input, "reason", &reason)) return writ_invalid("reason", "want a text");
  return writ_fail(WRIT_TEXT("refused"), reason, WRIT_TEXT("ask for something else"));
}

static __attribute__((noinline)) void give_up(void) { __builtin_trap(); }

static int trap(writ_text input) {
  give_up();
  return writ_output(input);
}

static writ_text hexadecimal(uint64_t value, size_t digits) {
  char *at = writ_alloc(digits);
  for (size_t i = digits; i-- > 0; value >>= 4) at[i] = "0123456789abcdef"[value & 15];
  return (writ_text){at, digits};
}

static int random_and_clock(writ_text input) {
  (void)input;
  uint8_t drawn[16];
  writ_random(drawn, sizeof drawn);
  uint64_t now = writ_now();
  char *digits = writ_alloc(2 * sizeof drawn);
  for (size_t i = 0; i < sizeof drawn; i++) __builtin_memcpy(digits + 2 * i, hexadecimal(drawn[i], 2).at, 2);
  writ_json out = {0};
  writ_put_int(&out, "nanoseconds", now % 1000000000);
  writ_put_text(&out, "random", (writ_text){digits, 2 * sizeof drawn});
  writ_put_int(&out, "seconds", now / 1000000000);
  return writ_answer(&out);
}

static void add_double(writ_json *bits, double value) {
  uint64_t b;
  __builtin_memcpy(&b, &value, sizeof b);
  writ_add_text(bits, hexadecimal(b, 16));
}

static void add_float(writ_json *bits, float value) {
  uint32_t b;
  __builtin_memcpy(&b, &value, sizeof b);
  writ_add_text(bits, hexadecimal(b, 8));
}

static int floats(writ_text input) {
  (void)input;
  /* volatile: the machine computes, not the compiler. */
  volatile uint64_t payload = 0x7ff4000000abcdef;
  volatile uint32_t payload32 = 0x7fa00bcd;
  volatile double zero = 0, one = 1, infinity = __builtin_inf();
  volatile float zero32 = 0, one32 = 1;
  uint64_t b = payload;
  uint32_t b32 = payload32;
  double nan;
  float nan32;
  __builtin_memcpy(&nan, &b, sizeof nan);
  __builtin_memcpy(&nan32, &b32, sizeof nan32);
  writ_json bits = {0}, out = {0};
  add_double(&bits, zero / zero);
  add_double(&bits, infinity - infinity);
  add_double(&bits, infinity * zero);
  add_double(&bits, __builtin_sqrt(-one));
  add_double(&bits, nan + one);
  add_double(&bits, one - nan);
  add_double(&bits, nan * -nan);
  add_double(&bits, __builtin_floor(nan));
  add_double(&bits, (double)nan32);
  add_float(&bits, zero32 / zero32);
  add_float(&bits, nan32 + one32);
  add_float(&bits, (float)nan);
  add_double(&bits, one / 3);
  add_double(&bits, __builtin_sqrt(one + one));
  add_float(&bits, one32 / 3);
  writ_put_json(&out, "bits", writ_done(&bits));
  return writ_answer(&out);
}

static int tools(writ_text input) {
  writ_text key, value;
  bool found;
  if (!writ_get_text(input, "key", &key)) return writ_invalid("key", "want a text");
  if (!writ_get_text(input, "value", &value)) return writ_invalid("value", "want a text");
  if (!writ_kv_put(key, value) || !writ_kv_get(key, &found, &value)) return writ_fail_as_tool();
  writ_log("info", value);
  writ_json out = {0};
  writ_put_bool(&out, "found", found);
  writ_put_text(&out, "value", value);
  return writ_answer(&out);
}

static int spin(writ_text input) {
  int64_t n;
  if (!writ_get_int(input, "n", &n) || n < 0) return writ_invalid("n", "want a count");
  uint32_t state = 2463534242u; /* xorshift32 (Marsaglia 2003) */
  for (int64_t i = 0; i < n; i++) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
  }
  writ_json out = {0};
  writ_put_int(&out, "state", state);
  return writ_answer(&out);
}

#define EVERY_KIND(M)                                                                       \
  M(JSON, any, "Any value")                                                                 \
  M(BOOLEAN, flag, "A flag")                                                                \
  M(INTEGER, number, "A number")                                                            \
  M(TEXT, text, "A text")
WRIT_RECORD(every_kind, EVERY_KIND)

static int typed(const every_kind *in, every_kind *out) {
  *out = *in;
  return WRIT_OK;
}

static writ_text spaced(writ_text a, writ_text b) { return writ_join(a, WRIT_TEXT(" "), b); }

static writ_text word(bool value) { return value ? WRIT_TEXT("true") : WRIT_TEXT("false"); }

static writ_text decimal(int64_t number) {
  writ_json digits = {0};
  writ_put_int(&digits, "", number);
  return (writ_text){digits.at + 4, digits.size - 4}; /* behind {"": */
}

static writ_text hexadecimal_of(writ_text bytes) {
  char *at = writ_alloc(2 * bytes.size);
  for (size_t i = 0; i < bytes.size; i++) __builtin_memcpy(at + 2 * i, hexadecimal((uint8_t)bytes.at[i], 2).at, 2);
  return (writ_text){at, 2 * bytes.size};
}

/* What a call came to: said, or the code of its failure. */
static void say(writ_json *lines, const char *what, bool ok, writ_text said) {
  writ_add_text(lines, spaced(writ_string(what), ok ? said : writ_failed_code()));
}

static writ_text joined(writ_text all, writ_text one) {
  return all.size == 0 ? one : writ_join(all, WRIT_TEXT(","), one);
}

static void ask_store(writ_json *lines) {
  writ_text key = WRIT_TEXT("conformance/a"), value, keys, item, names = {0};
  bool found, more, deleted;
  bool ok = writ_kv_put(key, WRIT_TEXT("é\n"));
  say(lines, "put", ok, WRIT_TEXT("done"));
  ok = writ_kv_get(key, &found, &value);
  say(lines, "get", ok, spaced(word(found), value));
  ok = writ_kv_get(WRIT_TEXT("conformance/none"), &found, &value);
  say(lines, "get", ok, spaced(word(found), value));
  ok = writ_kv_list(WRIT_TEXT("conformance/"), WRIT_TEXT("conformance/0"), &keys, &more);
  while (writ_item(&keys, &item) && writ_decode(item, &item)) names = joined(names, item);
  say(lines, "list", ok, spaced(names, word(more)));
  ok = writ_kv_delete(key, &deleted);
  say(lines, "delete", ok, word(deleted));
}

static void ask_files(writ_json *lines) {
  static const char bytes[] = {(char)0xff, (char)0xfe, 0, 1};
  writ_text path = WRIT_TEXT("conformance/f"), content, entries, all = {0};
  writ_entry entry;
  bool ok = writ_file_write(path, (writ_text){bytes, sizeof bytes});
  say(lines, "write", ok, WRIT_TEXT("done"));
  ok = writ_file_write(WRIT_TEXT("conformance/t"), WRIT_TEXT("é"));
  say(lines, "write", ok, WRIT_TEXT("done"));
  ok = writ_file_read(path, &content);
  say(lines, "read", ok, hexadecimal_of(content));
  ok = writ_file_list(WRIT_TEXT("conformance"), &entries);
  while (writ_file(&entries, &entry)) all = joined(all, spaced(spaced(entry.name, word(entry.dir)), decimal(entry.size)));
  say(lines, "files", ok, all);
}

static void ask_server(writ_json *lines, const writ_http_request *request) {
  writ_http_response response;
  writ_text type = WRIT_TEXT("-");
  bool ok = writ_http(request, &response);
  writ_get_text(response.headers, "content-type", &type);
  say(lines, "http", ok, spaced(spaced(decimal(response.status), type), hexadecimal_of(response.body)));
}

static int world(writ_text input) {
  (void)input;
  writ_json lines = {0}, out = {0}, fields = {0}, headers = {0};
  writ_put_text(&fields, "of", WRIT_TEXT("conformance"));
  writ_log_fields("info", WRIT_TEXT("every tool"), fields);
  ask_store(&lines);
  ask_files(&lines);
  writ_put_text(&headers, "accept", WRIT_TEXT("text/plain"));
  ask_server(&lines, &(writ_http_request){.method = "GET", .url = WRIT_TEXT("https://example.com/a"), .headers = headers});
  ask_server(&lines, &(writ_http_request){
    .method = "POST", .url = WRIT_TEXT("https://example.com/b"), .body = {"\xff\0", 2}, .timeout = 5000});
  writ_put_json(&out, "lines", writ_done(&lines));
  return writ_answer(&out);
}

#define CALL_IN(M) M(JSON, input, "Its input") M(TEXT, skill, "publisher/name#action")
#define CALL_OUT(M) M(JSON, output, "Its output")
WRIT_RECORD(call_in, CALL_IN)
WRIT_RECORD(call_out, CALL_OUT)

static int call(const call_in *in, call_out *out) {
  return writ_skill_call(in->skill, in->input, &out->output) ? WRIT_OK : writ_fail_as_tool();
}

#define TELL_IN(M)                                                                          \
  M(TEXT, channel, "PROVIDER/NAME")                                                         \
  M(TEXT, text, "Plain text")                                                               \
  M(TEXT, thread, "Empty: the channel's own")
#define TELL_OUT(M) M(TEXT, id, "The provider's")
WRIT_RECORD(tell_in, TELL_IN)
WRIT_RECORD(tell_out, TELL_OUT)

static int tell(const tell_in *in, tell_out *out) {
  return writ_message_send(in->channel, in->thread, in->text, &out->id) ? WRIT_OK : writ_fail_as_tool();
}

#define TEXTS(name) "\"" name "\":{\"items\":{\"type\":\"string\"},\"type\":\"array\"}"

WRIT_ACTIONS(
  WRIT_RAW_ACTION("echo", ANYTHING, ANYTHING, echo),
  WRIT_RAW_ACTION("big", OBJECT("\"text\"", TEXT("text")),
    OBJECT("\"bytes\",\"sum\",\"text\"", COUNT("bytes") "," COUNT("sum") "," TEXT("text")), big),
  WRIT_RAW_ACTION("grow", OBJECT("\"mib\"", COUNT("mib")), OBJECT("\"pages\",\"sum\"", COUNT("pages") "," COUNT("sum")), grow),
  WRIT_RAW_ACTION("fail", OBJECT("\"reason\"", TEXT("reason")), NOTHING, fail),
  WRIT_RAW_ACTION("trap", NOTHING, NOTHING, trap),
  WRIT_RAW_ACTION("random_and_clock", NOTHING,
    OBJECT("\"nanoseconds\",\"random\",\"seconds\"", COUNT("nanoseconds") "," TEXT("random") "," COUNT("seconds")), random_and_clock),
  WRIT_RAW_ACTION("floats", NOTHING, OBJECT("\"bits\"", TEXTS("bits")), floats),
  WRIT_RAW_ACTION("tools", OBJECT("\"key\",\"value\"", TEXT("key") "," TEXT("value")),
    OBJECT("\"found\",\"value\"", "\"found\":{\"type\":\"boolean\"}," TEXT("value")), tools),
  WRIT_RAW_ACTION("spin", OBJECT("\"n\"", COUNT("n")), OBJECT("\"state\"", COUNT("state")), spin),
  WRIT_ACTION(typed, every_kind, every_kind),
  WRIT_RAW_ACTION("world", NOTHING, OBJECT("\"lines\"", TEXTS("lines")), world),
  WRIT_ACTION(call, call_in, call_out),
  WRIT_ACTION(tell, tell_in, tell_out))
