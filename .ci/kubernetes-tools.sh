#!/usr/bin/env bash
# Fetches and builds what `npm run test:kubernetes` needs: etcd from Debian, and from the sources of Go modules the API server, the controllers
# and the scheduler of Kubernetes, kwok, and the definitions of the operators' objects. The first build takes minutes (docs/contributing.md says
# how many). What is there already is kept. The folder is that of .ci/chart-tools.sh, which fetches helm and kubectl.
set -eu -o pipefail
"$(dirname "$0")/chart-tools.sh" --build
folder=${KUBERNETES_TOOLS:-$HOME/.cache/subscription-sync/kubernetes}
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Go's own installation puts nothing into the PATH.
PATH=$PATH:/usr/local/go/bin

# Of the minor version in .ci/chart.mjs.
kubernetes=1.34.4
kwok=0.8.0
keda=2.21.0
prometheus_operator=0.85.0
gateway_api=1.6.3
external_secrets=1.3.2

fetch_etcd() {
  if [ -x "$folder/etcd" ] || command -v etcd >/dev/null; then return; fi
  (cd "$work" && apt-get download -qq etcd-server && dpkg -x etcd-server_*.deb etcd)
  install -m 755 "$work/etcd/usr/bin/etcd" "$folder/etcd"
}

build_kubernetes() {
  local missing=() program
  for program in kube-apiserver kube-controller-manager kube-scheduler; do
    if [ ! -x "$folder/$program" ]; then missing+=("k8s.io/kubernetes/cmd/$program"); fi
  done
  if [ "${#missing[@]}" -eq 0 ]; then return; fi
  local sources
  sources=$(module k8s.io/kubernetes "$kubernetes")
  mkdir "$work/kubernetes"
  # The module's own file names modules in folders of its repository, which are published under the same minor version with the major version
  # 0. The samples are not published, and no program needs them.
  sed -e '/k8s.io\/sample-cli-plugin\|k8s.io\/sample-controller/d' -e 's,^module .*,module programs,' \
    -e "s,\./staging/src/\(.*\),\1 v0.${kubernetes#*.}," "$sources/go.mod" >"$work/kubernetes/go.mod"
  install -m 644 "$sources/go.sum" "$work/kubernetes/"
  # Without a version the server says v0.0.0, which the chart refuses.
  (
    cd "$work/kubernetes"
    go mod edit -require="k8s.io/kubernetes@v$kubernetes"
    go build -mod=mod -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes" -o "$folder/" "${missing[@]}"
  )
}

build_kwok() {
  if [ ! -x "$folder/kwok" ]; then GOBIN=$folder go install -trimpath -ldflags '-s -w' "sigs.k8s.io/kwok/cmd/kwok@v$kwok"; fi
  if [ -d "$folder/stages" ]; then return; fi
  mkdir "$work/stages"
  copy stages sigs.k8s.io/kwok "$kwok" kustomize/stage/node/fast/node-initialize.yaml kustomize/stage/pod/fast/pod-{complete,delete,ready}.yaml
  mv "$work/stages" "$folder/"
}

fetch_definitions() {
  if [ -d "$folder/definitions" ]; then return; fi
  mkdir "$work/definitions"
  copy definitions github.com/kedacore/keda/v2 "$keda" config/crd/bases/keda.sh_scaledobjects.yaml
  copy definitions github.com/prometheus-operator/prometheus-operator "$prometheus_operator" \
    example/prometheus-operator-crd/monitoring.coreos.com_{prometheusrules,servicemonitors}.yaml
  copy definitions sigs.k8s.io/gateway-api "$gateway_api" config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
  copy definitions github.com/external-secrets/external-secrets "$external_secrets" config/crds/bases/external-secrets.io_externalsecrets.yaml
  mv "$work/definitions" "$folder/"
}

# copy <folder> <module> <version> <file…>: copies files of a module to a folder in $work.
copy() {
  local sources file
  sources=$(module "$2" "$3")
  for file in "${@:4}"; do install -m 644 "$sources/$file" "$work/$1/"; done
}

# module <path> <version>: prints the folder of a module's sources.
module() {
  go mod download -json "$1@v$2" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p'
}

fetch_etcd
build_kubernetes
build_kwok
fetch_definitions
