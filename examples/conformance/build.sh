#!/usr/bin/env bash
# build.sh OUT: the conformance skill in other languages than Go, and the digests.
# The same sources and toolchains give the same bytes, wherever this stands.
set -euo pipefail
out=$(mkdir -p "$1" && realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Two steps: as one, clang passes its result through whatever wasm-opt it finds.
clang-14 --target=wasm32 -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -mbulk-memory -c -o "$work/c.o" c/conformance.c
wasm-ld-14 --no-entry --strip-all --stack-first -z stack-size=16384 --initial-memory=131072 -o "$out/c.wasm" "$work/c.o"

chmod 644 "$out"/*.wasm
{
  echo "# c.wasm: $(clang-14 --version | head -1), $(wasm-ld-14 --version)"
  cd "$out" && sha256sum ./*.wasm | sed 's|\./||'
} > "$work/sums"
mv "$work/sums" "$out/SHA256SUMS"
