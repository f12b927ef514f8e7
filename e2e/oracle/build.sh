#!/usr/bin/env bash
# Builds the oracle, which answers as the API server's CEL environment does, once, and prints the path of the program.
# Everything else goes to stderr.
#
#   PORTCULLIS_CACHE     where results are kept (default: $XDG_CACHE_HOME/portcullis, then ~/.cache/portcullis)
#
# A result is kept under the hash of go.mod, go.sum, the sources and this file, so it is never stale. A cold build takes a
# few minutes of CPU; a warm one takes no time. Without Go on the PATH it ends with 69.
set -euo pipefail

say() { printf 'oracle: %s\n' "$*" >&2; }
fail() { local status=$1; shift; say "$@"; exit "$status"; }

cd "$(dirname "${BASH_SOURCE[0]}")"
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
key=$(cat go.mod go.sum build.sh ./*.go | sha256 | cut -d' ' -f1)
cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PORTCULLIS_CACHE}/.cache}/portcullis}/oracle
result=$cache/$key/oracle

if [ -x "$result" ]; then
  printf '%s\n' "$result"
  exit 0
fi

command -v go >/dev/null || fail 69 "Go is needed to build it and is not on the PATH. Install Go 1.26 or newer (https://go.dev/dl)."

# One build at a time; whoever waited finds the result. The lock goes with its holder, even a killed one.
mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock -n 9 || { say "another run is building it; waiting"; flock 9; }
  rm -rf "$cache"/building.*
fi
if [ -x "$result" ]; then
  printf '%s\n' "$result"
  exit 0
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT

say "building it; the first time this takes a few minutes"
export CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false -mod=readonly'
go build -ldflags '-s -w' -o "$building/oracle" . >&2 9>&- || fail 1 "it did not build; the module proxy has to be reachable the first time"

chmod 755 "$building"
mv "$building" "$cache/$key"
say "built in $SECONDS s: $result"
printf '%s\n' "$result"
