#!/bin/sh
# Builds BUILD/sse-relay_VERSION_ARCH.deb as Debian does, with debhelper, from a copy of the sources in BUILD/deb:
#     deb.sh BUILD
# The recipe is deploy/debian; the units and settings that go with it are those of deploy/systemd and deploy/sysctl.
set -eu
cd "$(dirname "$0")/.."
build=$1

source=$build/deb/sse-relay
rm -rf "$build/deb"
mkdir -p "$source/deploy" "$source/tests"
cp -R LICENSE Makefile README.md relay publisher-cli "$source"
cp -R deploy/systemd deploy/sysctl "$source/deploy"
cp tests/tests.mk "$source/tests"
cp -R deploy/debian "$source/debian"
cp deploy/systemd/*.service "$source/debian" # where debhelper looks for them

# The flags of whoever calls make are not those of the package.
unset MAKEFLAGS MFLAGS MAKELEVEL CC CFLAGS CPPFLAGS LDFLAGS BUILD SANITIZE 2>/dev/null || true
export DEB_BUILD_OPTIONS="parallel=$(getconf _NPROCESSORS_ONLN)"
(cd "$source" && dpkg-buildpackage --build=binary --no-sign --unsigned-changes) >"$build/deb/log" 2>&1 || {
    cat "$build/deb/log" >&2
    exit 1
}
cp "$build"/deb/sse-relay_*.deb "$build" # the .changes beside the original names it
ls "$build"/sse-relay_*.deb
