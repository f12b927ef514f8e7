#!/usr/bin/env bash
# Builds cosign and a plain OCI registry, once, and prints the folder with both. Everything else goes to stderr.
#
#   COSIGN_TOOLS       a folder with `cosign` and `registry` to use instead; nothing is built then
#   PORTCULLIS_CACHE   where results are kept (default: $XDG_CACHE_HOME/portcullis, then ~/.cache/portcullis)
#
# Go checks what it downloads against its checksum database. A warm build takes no time.
set -euo pipefail

cosign=v3.1.3
registry=v0.22.1
say() { printf 'cosign: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
complete() { [ -x "$1/cosign" ] && [ -x "$1/registry" ]; }

if [ -n "${COSIGN_TOOLS:-}" ]; then
  complete "$COSIGN_TOOLS" || fail "COSIGN_TOOLS is $COSIGN_TOOLS, which has no cosign and registry." \
    "Name a folder with both, or unset it to build them."
  printf '%s\n' "$COSIGN_TOOLS"
  exit 0
fi

cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PORTCULLIS_CACHE}/.cache}/portcullis}/cosign
result=$cache/$cosign-$registry

found() { # Are they there?
  complete "$result" && printf '%s\n' "$result"
}
found && exit 0

command -v go >/dev/null || fail "Go is needed to build it and is not on the PATH. Install Go 1.26 or newer" \
  "(https://go.dev/dl), or point COSIGN_TOOLS at a folder with a cosign 3 and a registry."

# One build at a time; whoever waited finds the result. The lock goes with its holder, even a killed one.
mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock -n 9 || { say "another run is building it; waiting"; flock 9; }
  rm -rf "$cache"/building.*
fi
found && exit 0

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
say "building cosign $cosign and registry $registry; the first time this takes some minutes"
export CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false' GOBIN="$building"
go install -ldflags='-s -w' "github.com/google/go-containerregistry/cmd/registry@$registry" >&2 9>&- ||
  fail "the registry did not build"
go install -ldflags='-s -w' "github.com/sigstore/cosign/v3/cmd/cosign@$cosign" >&2 9>&- ||
  fail "cosign did not build"
chmod 755 "$building"
rm -rf "${result:?}"
mv "$building" "$result"
say "built in $SECONDS s: $result"
found
