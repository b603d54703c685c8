#!/bin/sh
# Gets the client libraries that tests/e2e/test_libraries.py reads streams with, into a folder: from PyPI, as Go modules and from
# Maven, each where this machine has the tool. Those of npm are installed with package-lock.json.
#     sh tests/e2e/clients/tools.sh build/tools/clients
# It never fails: what could not be had is said in missing.python, missing.go and missing.java there, and those tests are skipped.
set -u

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1" || exit 0
rm -f missing.*

# try NAME COMMAND...: the last line of a failed step is the reason.
try() {
    name=$1
    shift
    "$@" >"log.$name" 2>&1 || { tail -n 1 "log.$name" >"missing.$name"; return 1; }
}

pip() {
    for python in python3 /usr/bin/python3; do
        "$python" -m pip --version >/dev/null 2>&1 || continue
        echo "$python" >python.path
        "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade --target "$@"
        return
    done
    echo 'there is no pip for Python 3 on this machine'
    return 1
}
try python pip python -r "$here/requirements.txt" &&
    try python pip python-sseclient sseclient==0.0.27 &&
    try python pip python-sseclient-py sseclient-py==1.9.0

build_go() (
    command -v go || { echo 'there is no Go on this machine'; return 1; }
    cd "$here/go" && CGO_ENABLED=0 GOFLAGS= GOTOOLCHAIN=local go build -trimpath -o "$1" .
)
try go build_go "$PWD/go-libraries"

build_java() {
    for tool in mvn javac; do
        command -v $tool || { echo "there is no $tool on this machine"; return 1; }
    done
    mvn -q -B -f "$here/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$1/java" &&
        javac -cp "$1/java/*" -d "$1/java/classes" "$here/java/Libraries.java"
}
try java build_java "$PWD"
exit 0
