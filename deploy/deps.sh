#!/bin/sh
# Installs what building (`build`), testing (`test`), benchmarking (`bench`) and the Debian package (`deb`) need:
#     sh deploy/deps.sh build test
# Looks for the things themselves, not for packages, so it says nothing and does nothing where all is
# there, however it came there. On Debian and its relatives it installs the rest through apt; elsewhere it
# prints the package names and fails. It starts no service and leaves a running one alone.
set -eu

PATH=$PATH:/usr/sbin # where nginx lives, and a plain user does not look

# Who needs it | what must be there | apt ("this/that": the first one that exists) | apk | dnf | brew
table() {
    cat <<'TABLE'
build | cmd cc               | gcc libc6-dev              | gcc musl-dev            | gcc                                  | gcc
build | cmd pkg-config       | pkgconf                    | pkgconf                 | pkgconf-pkg-config                   | pkgconf
build | pc libuv >= 1.44     | libuv1-dev                 | libuv-dev               | libuv-devel                          | libuv
build | pc hiredis >= 0.14   | libhiredis-dev             | hiredis-dev             | hiredis-devel                        | hiredis
build | pc jansson           | libjansson-dev             | jansson-dev             | jansson-devel                        | jansson
build | pc libssl >= 3.0     | libssl-dev              | openssl-dev             | openssl-devel                        | openssl@3
build | pc libcurl >= 7.74   | libcurl4-openssl-dev       | curl-dev                | libcurl-devel                        | curl
build | llhttp               | libllhttp-dev/node-llhttp  | llhttp-dev              | llhttp-devel                         | llhttp
build | pc libnghttp2 >= 1.52 | libnghttp2-dev            | nghttp2-dev             | libnghttp2-devel                     | libnghttp2
build | header uthash.h      | uthash-dev                 | uthash-dev              | uthash-devel                         | uthash
build | linux-header linux/filter.h | linux-libc-dev      | linux-headers           | kernel-headers                       |
build | cmd redis-server     | redis-server               | redis                   | redis                                | redis
test  | pc cmocka            | libcmocka-dev              | cmocka-dev              | libcmocka-devel                      | cmocka
test  | python pytest        | python3-pytest             | py3-pytest              | python3-pytest                       | pytest
test  | python yaml          | python3-yaml               | py3-yaml                | python3-pyyaml                       |
test  | python redis         | python3-redis              | py3-redis               | python3-redis                        |
test  | python h2            | python3-h2                 | py3-h2                  | python3-h2                           |
test  | cmd h2load           | nghttp2-client             | nghttp2                 | nghttp2                              | nghttp2
test  | cmd curl             | curl                       | curl                    | curl                                 | curl
test  | cmd openssl          | openssl                    | openssl                 | openssl                              | openssl
test  | cmd chromium         | chromium                   | chromium                | chromium                             | chromium
test  | cmd chromedriver     | chromium-driver            | chromium-chromedriver   | chromedriver                         | chromedriver
test  | cmd node             | nodejs                     | nodejs                  | nodejs                               | node
test  | cmd npm              | npm ca-certificates        | npm                     | nodejs-npm                           | node
test  | cmd bash             | bash                       | bash                    | bash                                 | bash
test  | cmd zsh              | zsh                        | zsh                     | zsh                                  | zsh
test  | cmd fish             | fish                       | fish                    | fish                                 | fish
test  | cmd mandoc           | mandoc                     | mandoc                  | mandoc                               | mandoc
test  | cmd promtool         | prometheus                 | prometheus              | golang-github-prometheus             | prometheus
test  | cmd haproxy          | haproxy                    | haproxy                 | haproxy                              | haproxy
test  | cmd nginx            | nginx                      | nginx                   | nginx                                | nginx
test  | cmd caddy            | caddy                      | caddy                   | caddy                                | caddy
test  | cmd openssl          | openssl                    | openssl                 | openssl                              | openssl
test  | cmd clang            | clang                      | clang                   | clang                                | llvm
test  | cmd clang-format     | clang-format               | clang-extra-tools       | clang-tools-extra                    | clang-format
test  | fuzzer               | libclang-rt-dev/libclang-rt-14-dev | compiler-rt     | compiler-rt                          | llvm
test  | apt-cmd systemd-analyze | systemd
test  | apt-cmd strace       | strace
test  | apt-cmd dh           | debhelper
test  | apt-package build-essential | build-essential
test  | apt-cmd lintian      | lintian
test  | apt-cmd musl-gcc     | musl-tools
deb   | cmd dh               | debhelper
deb   | apt-package build-essential | build-essential
bench | cmd nginx            | nginx                      | nginx                   | nginx                                | nginx
bench | nginx-module nchan   | libnginx-mod-nchan         | nginx-mod-http-nchan    |                                      |
TABLE
}

# Where Homebrew keeps headers, for the compiler: it does not look there by itself.
homebrew() { if command -v brew >/dev/null; then echo "-I$(brew --prefix)/include"; fi; }

# Its OpenSSL may stand aside, lest it be taken for the one of macOS.
if command -v brew >/dev/null; then
    PKG_CONFIG_PATH=$(brew --prefix)/opt/openssl@3/lib/pkgconfig:${PKG_CONFIG_PATH-}
    export PKG_CONFIG_PATH
fi

SYSTEM_PYTHON=/usr/bin/python3
if command -v brew >/dev/null; then SYSTEM_PYTHON=python3; fi

# Whether one thing is there.
have() {
    kind=$1
    shift
    case $kind in
    cmd) command -v "$1" ;;
    apt-cmd) ! command -v apt-get || command -v "$1" ;; # elsewhere the tests do without
    pc) pkg-config --exists "$*" ;;
    llhttp) [ -e /usr/share/llhttp/llhttp.c ] || pkg-config --exists libllhttp || pkg-config --exists llhttp ;;
    header) echo "#include <$1>" | cc $(homebrew) -E - ;;
    linux-header) [ "$(uname)" != Linux ] || echo "#include <$1>" | cc -E - ;;
    apt-package) ! command -v apt-get || [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1")" = installed ] ;;
    # One interpreter has all of them: that of the system, unless the first in PATH does (tests.mk chooses likewise).
    python) python3 -c "import pytest, yaml, redis, h2" || "$SYSTEM_PYTHON" -c "import $1" ;;
    fuzzer) [ -n "$(find "$(clang -print-resource-dir)/" -name 'libclang_rt.fuzzer*' -print -quit)" ] ;;
    nginx-module) [ -e "/usr/lib/nginx/modules/ngx_$1_module.so" ] ;;
    esac >/dev/null 2>&1
}

# The names, in the given column of the table, of what the listed sets lack.
missing() {
    column=$1
    shift
    table | sed 's/ *| */|/g' | while IFS='|' read -r set what apt apk dnf brew; do
        case " $* " in *" $set "*) ;; *) continue ;; esac
        # shellcheck disable=SC2086  # words are to be split, here and below
        have $what && continue
        eval "echo \$$column"
    done | tr '\n' ' ' | sed 's/ *$//'
}

# Every few seconds, how long it has taken and what apt does now: it may take minutes, and says nothing by itself.
tell_progress() {
    seconds=0
    while sleep "$TELL_EVERY" >/dev/null 2>&1; do
        seconds=$((seconds + TELL_EVERY))
        echo "deps: $seconds s: $(tail -n 1 "$LOG" | cut -c 1-100)"
    done
}
TELL_EVERY=${TELL_EVERY:-5}

# Install packages as root. $LOG holds what apt said, shown as a whole only when something failed.
install() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    LOG=$(mktemp)
    POLICY=/usr/sbin/policy-rc.d # asked by every package before it starts or stops its service
    if [ -e "$POLICY" ]; then POLICY=; fi
    tell_progress &
    TELLER=$!
    trap 'kill $TELLER 2>/dev/null || true; rm -f "$LOG" $POLICY' EXIT
    trap 'exit 130' HUP INT TERM
    if [ -n "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod 755 "$POLICY"
    fi

    # A broken list of somebody else's is no reason to give up: the packages may well be in the others.
    apt-get -q update >"$LOG" 2>&1 || true
    packages=
    for choice; do
        for package in $(echo "$choice" | tr / ' '); do
            if apt-cache show "$package" >/dev/null 2>&1; then break; fi
        done
        packages="$packages $package"
    done
    # shellcheck disable=SC2086
    if ! LC_ALL=C apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $packages >>"$LOG" 2>&1; then
        cat "$LOG" >&2
        echo "deps: apt-get could not install:$packages" >&2
        exit 1
    fi
    # We want their programs; whether their services run, now or after the next boot, is not ours to say.
    for package in $packages; do
        case $package in redis-server | prometheus | nginx | haproxy | caddy)
            update-rc.d "$package" disable >/dev/null 2>&1 || true
            if command -v systemctl >/dev/null; then systemctl -q disable "$package" >/dev/null 2>&1 || true; fi
            ;;
        esac
    done
}

# Run install() as root, through sudo where need be.
install_as_root() {
    if [ "$(id -u)" = 0 ]; then
        install "$@"
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo sh "$0" --install "$@"
    else
        echo "deps: installing these needs root, and sudo does not let us; as root, run: sh $0 --install $*" >&2
        exit 1
    fi
}

if [ "${1-}" = --install ]; then
    shift
    install "$@"
    exit
fi
wanted=$(missing apt "$@")
[ -n "$wanted" ] || exit 0
if command -v apt-get >/dev/null; then
    echo "deps: installing $wanted" | sed 's|/| or |g'
    echo "deps: apt downloads and unpacks them; this takes a minute or more"
    # shellcheck disable=SC2086
    install_as_root $wanted
    left=$(missing apt "$@")
    [ -z "$left" ] || {
        echo "deps: installed, and yet something is not found that should have come from: $left" >&2
        exit 1
    }
else
    {
        echo "deps: something is missing, and this system has no apt; install what follows, then try again:"
        echo "  Alpine:   apk add $(missing apk "$@")"
        echo "  Fedora:   dnf install $(missing dnf "$@")"
        echo "  Homebrew: brew install $(missing brew "$@")"
    } >&2
    exit 1
fi
