#!/bin/sh
# Builds h2spec, the conformance test of HTTP/2, where there is a Go that can. A minute the first time, nothing after that.
#     sh tests/e2e/h2spec.sh build/tools
# It never fails: what is missing is said in build/tools/h2spec.missing, and the test that wants it is skipped with that reason.
set -eu

directory=$(mkdir -p "$1" && cd "$1" && pwd)
rm -f "$directory/h2spec.missing"
give_up() {
    echo "$1" >"$directory/h2spec.missing"
    echo "  GO       skipped: $1"
    exit 0
}
command -v go >/dev/null || give_up 'h2spec: there is no Go on this machine'
echo '  GO       h2spec (a minute, once)'
module=$(mktemp -d)
trap 'chmod -R u+w "$module"; rm -rf "$module"' EXIT
cd "$module"
# A module of our own names the version, since h2spec is older than modules.
{
    export CGO_ENABLED=0 GOFLAGS=
    go mod init h2spec && go get github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible &&
        nice go build -trimpath -o "$directory/h2spec" github.com/summerwind/h2spec/cmd/h2spec
} >log 2>&1 || give_up "h2spec could not be built: $(tail -n 1 log)"
