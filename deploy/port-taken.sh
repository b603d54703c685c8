#!/bin/sh
# Prints the port of a relay with the given options (ARGS of `make run`) where another program listens on it already, and
# nothing otherwise: so that `make run` says it before it installs and builds, and not minutes later.
#     sh deploy/port-taken.sh --listen 127.0.0.1:8090
# It asks Linux's own table and needs no tool; elsewhere it finds nothing, and the relay says it when it starts.
set -eu

listen=${SSE_RELAY_LISTEN-127.0.0.1:8080}
while [ $# -gt 0 ]; do
    case $1 in
    --listen) listen=${2-} ;;
    --listen=*) listen=${1#--listen=} ;;
    esac
    shift
done
listen=${listen%/}
port=${listen##*:}
case $port in '' | *[!0-9]*) exit 0 ;; esac # unix:/path, or something that the relay will refuse

# 0A is LISTEN. The address is this machine's own, or all: 127.0.0.1 in either order of bytes, 0.0.0.0, [::].
place=$(printf '^ *[0-9]*: \(0100007F\|7F000001\|0*\):%04X [0-9A-F]*:0000 0A ' "$port")
if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "$place"; then echo "$port"; fi
