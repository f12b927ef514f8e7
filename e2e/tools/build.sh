#!/usr/bin/env bash
# Builds programs of others that tests ask, once, from their Go modules, and prints the folder that holds them. Everything
# else goes to stderr.
#
#   build.sh cosign      `cosign`, and a plain OCI `registry`
#   build.sh helm        `helm`
#
#   COSIGN_TOOLS, HELM_TOOLS   a folder that has them already; nothing is built then
#   PORTCULLIS_CACHE           where results are kept (default: $XDG_CACHE_HOME/portcullis, then ~/.cache/portcullis)
#
# A result is kept under its versions, so it is never stale. Go checks what it downloads against its checksum database. A cold
# build takes some minutes of CPU, a warm one no time.
set -euo pipefail

name=${1:-}
say() { printf '%s: %s\n' "${name:-build.sh}" "$*" >&2; }
fail() { say "$@"; exit 1; }

case $name in
  cosign) modules=(github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
                   github.com/google/go-containerregistry/cmd/registry@v0.22.1) ;;
  helm)   modules=(helm.sh/helm/v4/cmd/helm@v4.3.1) ;;
  *)      fail "say what to build: cosign or helm" ;;
esac
programs=("${modules[@]%@*}")
programs=("${programs[@]##*/}")
versions=$(IFS=-; printf '%s' "${modules[*]##*@}")

complete() { # DIR: is everything there?
  local program
  for program in "${programs[@]}"; do [ -x "$1/$program" ] || return 1; done
}

variable=$(printf "%s_TOOLS" "$name" | tr "[:lower:]" "[:upper:]")
if [ -n "${!variable:-}" ]; then
  complete "${!variable}" || fail "$variable is ${!variable}, which lacks one of: ${programs[*]}." \
    "Add it, or unset $variable to build."
  printf '%s\n' "${!variable}"
  exit 0
fi

cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PORTCULLIS_CACHE}/.cache}/portcullis}/$name
result=$cache/$versions

found() { # Is there a result?
  complete "$result" && printf '%s\n' "$result"
}
found && exit 0

command -v go >/dev/null || fail "Go is needed to build it and is not on the PATH. Install Go 1.26 or newer" \
  "(https://go.dev/dl), or point $variable at a folder with: ${programs[*]}."

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
say "building ${modules[*]}; the first time this takes some minutes"
export CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false' GOBIN="$building"
for module in "${modules[@]}"; do
  go install -ldflags='-s -w' "$module" >&2 9>&- || fail "$module did not build"
done
chmod 755 "$building"
rm -rf "${result:?}"
mv "$building" "$result"
say "built in $SECONDS s: $result"
found
