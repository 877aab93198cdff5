#!/usr/bin/env bash
# build.sh OUT: the conformance skill in C, Rust and AssemblyScript, and the digests.
# The same sources and toolchains give the same bytes, wherever this stands.
set -euo pipefail
out=$(mkdir -p "$1" && realpath "$1")
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for language in c rust assemblyscript; do
  mkdir "$work/$language"
  cp "$language"/* ../../sdk/"$language"/writ.* "$work/$language"
done

# Two steps: as one, clang passes its result through whatever wasm-opt it finds.
cd "$work/c"
clang-14 --target=wasm32 -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -mbulk-memory -c -o c.o conformance.c
wasm-ld-14 --no-entry --strip-debug --stack-first -z stack-size=16384 --initial-memory=131072 -o "$out/c.wasm" c.o

# Debian's rustc: others come without the standard library for wasm32.
cd "$work/rust"
rustc=/usr/bin/rustc
$rustc --edition 2021 --crate-type cdylib --target wasm32-unknown-unknown -D warnings \
  -C opt-level=s -C lto -C panic=abort -C codegen-units=1 -C strip=debuginfo \
  -C linker=wasm-ld-14 -C link-arg=-zstack-size=65536 -o "$out/rust.wasm" conformance.rs

cd "$work/assemblyscript"
npm ci --no-audit --no-fund --loglevel error >/dev/null
npx asc conformance.ts -O3 --debug --noAssert --runtime stub --exportStart _initialize --use abort=writ/abort -o "$out/assemblyscript.wasm"

chmod 644 "$out"/*.wasm
{
  echo "# assemblyscript.wasm: assemblyscript $(npx asc --version | cut -d' ' -f2) of npm, as pinned in package-lock.json"
  echo "# c.wasm: $(clang-14 --version | head -1), $(wasm-ld-14 --version)"
  echo "# rust.wasm: $($rustc --version), $(wasm-ld-14 --version), packages rustc and libstd-rust-dev-wasm32 of Debian 12"
  cd "$out" && sha256sum ./*.wasm | sed 's|\./||'
} > "$work/sums"
mv "$work/sums" "$out/SHA256SUMS"
