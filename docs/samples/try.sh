#!/bin/sh
# Serves policies/, sends the three samples beside this file over HTTPS, shows the decisions, and keeps serving.
# usage: try.sh PORTCULLIS (the binary); LISTEN is the address, 127.0.0.1:8443 by default.
set -eu
binary=$1
here=$(dirname "$0")
listen=${LISTEN:-127.0.0.1:8443}

"$binary" serve --policies "$here/../../policies" --listen "$listen" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM

ask() { # PATH FILE: the answer to a review
  curl --silent --show-error --insecure --header 'content-type: application/json' --data-binary "@$2" \
    "https://$listen$1"
}

tenths=0
until curl --silent --fail --insecure --output /dev/null "https://$listen/readyz"; do
  kill -0 "$server" 2>/dev/null || exit 1
  tenths=$((tenths + 1))
  [ "$tenths" -lt 300 ] || { echo "not ready after 30 s" >&2; exit 1; }
  sleep 0.1
done

row='%-12s %-10s %s\n'
printf '\n'
# shellcheck disable=SC2059
printf "$row" REQUEST DECISION BECAUSE
for sample in denied admitted patched; do
  mutation=$(ask /mutate "$here/$sample.json")
  validation=$(ask /validate "$here/$sample.json")
  pod=$(sed -n 's/^ *"name": "\(.*\)",$/\1/p' "$here/$sample.json" | head -n 1)
  patch=$(printf '%s' "$mutation" | sed -n 's/.*"patch":"\([^"]*\)".*/\1/p' | base64 -d)
  message=$(printf '%s' "$validation" | sed -n 's/.*"message":"\(\([^"\\]\|\\.\)*\)".*/\1/p')
  case $validation in
  *'"allowed":false'*) decision=denied because=$message ;;
  *'"allowed":true'*) decision=admitted because=${patch:+with a patch: $patch} ;;
  *) decision=error because=$validation ;;
  esac
  # shellcheck disable=SC2059
  printf "$row" "Pod/$pod" "$decision" "$because"
done
cat <<TEXT

Serving policies/ on https://$listen; Ctrl-C stops. Change a policy and ask again:

  curl -k -H 'content-type: application/json' --data-binary @docs/samples/denied.json https://$listen/validate

TEXT
wait "$server"
