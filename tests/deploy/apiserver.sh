#!/bin/sh
# Builds kube-apiserver and etcd for apiserver.py, from their Go modules: some ten minutes on one core, 1.5 GB of memory.
#     sh tests/deploy/apiserver.sh build/tools
set -eu

tools=$(mkdir -p "$1" && cd "$1" && pwd)
kubernetes=34.3 # 1.34.3, whose libraries are 0.34.3
etcd=v3.6.5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 GOFLAGS=-mod=mod

# program NAME PACKAGE IMPORT [FLAGS]: built in a module of its own, whose go.mod is on standard input.
program() {
    mkdir "$work/$1"
    cd "$work/$1"
    { printf 'module probe\ngo 1.24.0\n' && cat; } >go.mod
    printf '//go:build tools\npackage tools\nimport _ "%s"\n' "$3" >tools.go
    nice -n 19 go mod tidy
    nice -n 19 go build -p 1 -ldflags "-s -w ${4-}" -o "$tools/$1" "$2"
}

echo "require go.etcd.io/etcd/server/v3 $etcd" | program etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3/etcdmain

# Kubernetes replaces its libraries by folders beside it, which its module does not hold: name their versions instead.
go mod download "k8s.io/kubernetes@v1.$kubernetes"
source=$(go env GOMODCACHE)/k8s.io/kubernetes@v1.$kubernetes
version=k8s.io/component-base/version
{
    echo "require k8s.io/kubernetes v1.$kubernetes"
    sed -n "s/^\t\(k8s\.io\/[a-z-]*\) => .*/replace \1 => \1 v0.$kubernetes/p" "$source/go.mod"
} | program kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver/app \
    "-X $version.gitVersion=v1.$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${kubernetes%.*}"
