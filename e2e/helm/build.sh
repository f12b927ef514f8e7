#!/usr/bin/env bash
# Builds helm, once, and prints where it is. Everything else goes to stderr.
#
#   HELM               a helm to use instead; nothing is built then
#   PORTCULLIS_CACHE   where results are kept (default: $XDG_CACHE_HOME/portcullis, then ~/.cache/portcullis)
#
# Go checks what it downloads against its checksum database. A cold build takes four minutes of CPU, a warm one no time.
set -euo pipefail

version=v4.3.1
say() { printf 'helm: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

if [ -n "${HELM:-}" ]; then
  path=$(command -v "$HELM") || fail "HELM is $HELM, which is no program. Name one, or unset HELM to build it."
  printf '%s\n' "$path"
  exit 0
fi

cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PORTCULLIS_CACHE}/.cache}/portcullis}/helm
result=$cache/$version/helm

found() { # Is it there?
  [ -x "$result" ] && printf '%s\n' "$result"
}
found && exit 0

command -v go >/dev/null || fail "Go is needed to build it and is not on the PATH. Install Go 1.26 or newer" \
  "(https://go.dev/dl), or point HELM at a helm 4."

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
say "building $version; the first time this takes some minutes"
CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false' GOBIN=$building \
  go install -ldflags='-s -w' "helm.sh/helm/v4/cmd/helm@$version" >&2 9>&- || fail "it did not build"
chmod 755 "$building"
rm -rf "${cache:?}/$version"
mv "$building" "$cache/$version"
say "built in $SECONDS s: $result"
found
