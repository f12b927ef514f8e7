#!/usr/bin/env bash
# Builds the control plane that the end-to-end tests run against (etcd, kube-apiserver, kube-controller-manager,
# kubectl) from its Go modules, once, and prints the folder that holds the binaries. Everything else goes to stderr.
#
#   KUBEBUILDER_ASSETS   a folder that has the four binaries already; nothing is built then
#   PORTCULLIS_CACHE     where results are kept (default: $XDG_CACHE_HOME/portcullis, then ~/.cache/portcullis)
#
# A result is kept under the hash of go.mod, go.sum and this file, so it is never stale. A cold build takes ten
# minutes of CPU, 2 GiB of memory and 4 GiB of Go's own caches; a warm one takes no time.
set -euo pipefail

say() { printf 'control plane: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

components=(etcd kube-apiserver kube-controller-manager kubectl)

complete() { # DIR: are all components there?
  local component
  for component in "${components[@]}"; do [ -x "$1/$component" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  complete "$KUBEBUILDER_ASSETS" || fail "KUBEBUILDER_ASSETS is $KUBEBUILDER_ASSETS, which lacks one of:" \
    "${components[*]}. Add it, or unset KUBEBUILDER_ASSETS to build them all."
  printf '%s\n' "$KUBEBUILDER_ASSETS"
  exit 0
fi

cd "$(dirname "${BASH_SOURCE[0]}")"
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
key=$(cat go.mod go.sum build.sh | sha256 | cut -d' ' -f1)
cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PORTCULLIS_CACHE}/.cache}/portcullis}/control-plane
result=$cache/$key

if complete "$result"; then
  printf '%s\n' "$result"
  exit 0
fi

command -v go >/dev/null || fail "Go is needed to build it and is not on the PATH. Install Go 1.26 or newer" \
  "(https://go.dev/dl), or point KUBEBUILDER_ASSETS at a folder with: ${components[*]}," \
  "or KUBECONFIG at a cluster to test against."

# One build at a time; whoever waited finds the result. The lock goes with its holder, even a killed one.
mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock -n 9 || { say "another run is building it; waiting"; flock 9; }
  rm -rf "$cache"/building.*
fi
if complete "$result"; then
  printf '%s\n' "$result"
  exit 0
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT

export CGO_ENABLED=0 GOWORK=off GOFLAGS='-trimpath -buildvcs=false -mod=readonly'
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes) || fail "the module proxy has to be reachable for the first build"
minor=${version#v1.}
minor=${minor%%.*}
# Without these the server calls itself v0.0.0, and clients that compare versions refuse it.
stamps=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for stamp in "gitVersion=$version" gitMajor=1 "gitMinor=$minor" gitCommit=module-proxy gitTreeState=clean \
    buildDate=1970-01-01T00:00:00Z; do
    stamps+=" -X $package.$stamp"
  done
done

say "building Kubernetes $version; the first time this takes several minutes"
count=0
for component in "${components[@]}"; do
  count=$((count + 1))
  case $component in
  etcd) package=go.etcd.io/etcd/server/v3 flags='-s -w' ;;
  *) package=k8s.io/kubernetes/cmd/$component flags="-s -w$stamps" ;;
  esac
  say "($count/${#components[@]}) $component ..."
  started=$SECONDS
  go build -ldflags "$flags" -o "$building/$component" "$package" >&2 9>&- || fail "$component did not build"
  say "($count/${#components[@]}) $component: $((SECONDS - started)) s"
done

chmod 755 "$building"
mv "$building" "$result"
say "built in $SECONDS s: $result"
printf '%s\n' "$result"
