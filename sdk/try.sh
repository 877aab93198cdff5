#!/usr/bin/env bash
# try.sh WRIT OUT: the first skill in every language but Go with the real toolchains, as
# an author has it: made, run, tried. Says how long each took, and leaves the modules.
set -euo pipefail
writ=$(realpath "$1")
out=$(mkdir -p "$2" && realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export WRIT_HOME=$work/home
for language in c rust assemblyscript; do
  cd "$work"
  began=$(date +%s%N)
  "$writ" skill new "hello-$language" --lang "$language" >/dev/null
  cd "hello-$language"
  "$writ" skill run greet '{"name":"Ada"}' 2>/dev/null | grep -q 'Hello, Ada!'
  ran=$(date +%s%N)
  "$writ" skill test >/dev/null 2>&1
  printf '%-15s from nothing to running %4d ms, tests %4d ms\n' "$language" $(((ran - began) / 1000000)) $((($(date +%s%N) - ran) / 1000000))
  cp build/skill.wasm "$out/$language.wasm"
  chmod 644 "$out/$language.wasm"
done
