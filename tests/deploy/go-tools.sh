#!/bin/sh
# Builds what renders and validates the Kubernetes files, where there is a Go that can: helm, kustomize, kubectl-validate, and
# the schemas of the custom resources that we write, all of them Go modules. Some minutes the first time, nothing after that.
#     sh tests/deploy/go-tools.sh build/tools
# It never fails: what is missing is said in build/tools/missing, and the tests that want it are skipped with that reason.
set -eu

directory=$(mkdir -p "$1" && cd "$1" && pwd)
helm=helm.sh/helm/v3
gateway=sigs.k8s.io/gateway-api@v1.4.1
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0

# The log of a failed step is the reason.
give_up() {
    echo "$1: $(tail -n 1 "$directory/log")" >"$directory/missing"
    echo "  GO       skipped: $(cat "$directory/missing")"
    exit 0
}

# build PACKAGE@VERSION [FLAG...]: one program.
build() {
    package=$1
    shift
    GOBIN=$directory CGO_ENABLED=0 GOFLAGS= nice go install -trimpath "$@" "$package" >"$directory/log" 2>&1 ||
        give_up "$package could not be built"
}

# schema MODULE@VERSION FILE: one file of a module.
schema() {
    go mod download -json "$1" >"$directory/log" 2>&1 || give_up "$1 could not be had"
    from=$(sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p' "$directory/log")
    cp "$from/$2" "$directory/crds/"
    chmod u+w "$directory/crds/${2##*/}"
}

cd "$directory"
rm -f missing
echo 'there is no Go on this machine' >log
command -v go >/dev/null || give_up 'Kubernetes files are not validated'
echo '  GO       helm, kustomize, kubectl-validate (some minutes, once)'
# Without these, a helm that was not built by its own Makefile takes every cluster for one of version 1.20.
flags=
for name in pkg/chartutil.k8sVersion pkg/lint/rules.k8sVersion; do
    flags="$flags -X $helm/${name}Major=1 -X $helm/${name}Minor=34"
done
build $helm/cmd/helm@v3.22.0 -ldflags "-s -w $flags"
build sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 -ldflags '-s -w'
build sigs.k8s.io/kubectl-validate@v0.0.4 -ldflags '-s -w'
mkdir -p crds
schema $gateway config/crd/standard/gateway.networking.k8s.io_httproutes.yaml
for kind in servicemonitors prometheusrules; do
    schema $operator example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml
done
rm -f log
