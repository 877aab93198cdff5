#!/usr/bin/env bash
# replay.sh [-e EMULATOR] WRIT OTHER [LANGUAGE...]: the program WRIT runs the
# conformance skill in each language (default: those with a built module) and exports
# the evidence; OTHER, a build that may be for another machine and then needs an
# emulator, replays it in an empty home. Exits with 0 where everything is identical.
set -euo pipefail
emulator=()
if [ "$1" = -e ]; then
  emulator=("$(command -v "$2")")
  export WRIT_COMPILER_WRAPPER=${emulator[0]}
  shift 2
fi
writ=$(realpath "$1")
other=("${emulator[@]}" "$(realpath "$2")")
shift 2
here=$(cd "$(dirname "$0")" && pwd)
languages=("$@")
[ ${#languages[@]} -gt 0 ] || languages=(c rust assemblyscript)
work=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || { kill "$daemon"; wait "$daemon" || true; }; rm -rf "$work"' EXIT
cd "$work"
export WRIT_PASSPHRASE="one that nobody needs to keep"

say() { printf '%s %s\n' "$(date +%T)" "$*"; }

# serve PROGRAM...: a daemon for the home, so that each command costs no start of its own.
serve() {
  "$@" serve >"$WRIT_HOME.log" 2>&1 &
  daemon=$!
  for _ in {1..600}; do
    [ -S "$WRIT_HOME/writ.sock" ] && "$writ" status >/dev/null 2>&1 && return
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  cat "$WRIT_HOME.log"
  return 1
}

stop() {
  kill "$daemon"
  wait "$daemon" || true
  daemon=
}

plan() { printf 'apiVersion: writ/v1\nkind: Plan\nsteps:\n'; }
step() { printf '  - name: %s\n    uses: conformance/%s@^0#%s\n    with: %s\n' "$2" "$1" "$2" "$3"; }

# drafts LANGUAGE: one plan of what succeeds, and one for each way to fail.
drafts() {
  {
    plan
    step "$1" floats '{}'
    step "$1" grow '{mib: 24}'
    step "$1" random_and_clock '{}'
    step "$1" tools '{key: conformance/a, value: "é\n"}'
    step "$1" spin '{n: 100000}'
    step "$1" big '{text: "aé\n"}'
    step "$1" echo '{a: [1, null, "x"]}'
    step "$1" typed '{any: {a: [1]}, flag: true, number: -7, text: "é"}'
  } >"$1-outputs.yaml"
  { plan && step "$1" fail '{reason: "no"}'; } >"$1-fail.yaml"
  { plan && step "$1" trap '{}'; } >"$1-trap.yaml"
  { plan && step "$1" grow '{mib: 64}'; } >"$1-memory.yaml"
}

export WRIT_HOME=$work/here
"$writ" init --name author >/dev/null
"$writ" skill key --out key >/dev/null
serve env -u WRIT_COMPILER_WRAPPER "$writ"
"$writ" trust add conformance --key key.pub >/dev/null
for language in "${languages[@]}"; do
  module=$here/built/$language.wasm
  [ "$language" = go ] && module=
  env -u WRIT_COMPILER_WRAPPER "$writ" skill build "$here/$language" ${module:+--module "$module"} --to "$language.skill" >/dev/null
  "$writ" skill sign "$language.skill" --key key.key >/dev/null
  "$writ" skill install "$language.skill" >/dev/null
  drafts "$language"
  for draft in "$language"-*.yaml; do
    name=${draft%.yaml}
    "$writ" intent submit --draft "$draft" --start -o json >"$name.json" || true # a step that fails is exit 1
    grep -o -m 1 'exe_[a-z0-9]*' "$name.json" | head -1 >"$name.id"
    "$writ" trace export "$(cat "$name.id")" --to "$name.evidence.json" >/dev/null
    say "recorded  $name: $(grep -o '"status": *"[a-z]*"' "$name.json" | tail -1)"
  done
done
stop
cp "$WRIT_HOME/keys/host.pub" host.pub

export WRIT_HOME=$work/there
"${other[@]}" init --name auditor >/dev/null
serve "${other[@]}"
differing=0
for evidence in *.evidence.json; do
  name=${evidence%.evidence.json}
  "$writ" trace import "$evidence" --key host.pub >/dev/null
  # 5 says that something differs. A caller may give up (1) while a module is compiled,
  # which goes on for the next one: an emulator needs minutes for one in Go.
  for _ in {1..5}; do
    code=0
    "$writ" replay "$(cat "$name.id")" >report 2>&1 || code=$?
    [ $code = 1 ] && grep -q '\[timeout\]' report || break
  done
  if [ $code = 0 ]; then
    say "identical $name: $(grep -m 1 '^recorded on' report || echo 'on the same engine')"
  else
    say "DIFFERS   $name"
    cat report
    differing=1
  fi
done
stop
exit $differing
