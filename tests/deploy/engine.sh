#!/bin/sh
# A container engine for test_image.py and test_compose.py, on a machine that has none and reaches no image hub: everything
# comes from Debian's package mirror. As root, on Debian 12 or later:
#     tests/deploy/engine.sh start [DIR]     then: . DIR/env
#     tests/deploy/engine.sh stop [DIR]      ends it with all its containers, and takes its network rules and mounts away
# DIR is /var/tmp/sse-relay-engine; it keeps packages and images (some GB) for the next start. The engine is unpacked there and not
# installed; only what it calls (iptables, nftables, runc) and debootstrap are, where they are missing.
#
# Images: debian:trixie-slim is Debian's base system. Redis, HAProxy and Prometheus are Debian's packages on it, as the
# images that docker-compose.yml takes by variables, which DIR/env sets. Grafana is in no Debian and so not there.
set -eu

# Where this machine's own packages come from, unless MIRROR says.
MIRROR=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort | grep -v security | head -n 1)}
SUITE=trixie
PATH=$PATH:/usr/sbin
command=${1-}
mkdir -p "${2:-/var/tmp/sse-relay-engine}"
dir=$(cd "${2:-/var/tmp/sse-relay-engine}" && pwd)

# Debian 13's engine: the one of Debian 12 cannot make the same image twice.
unpack() {
    if [ -e "$dir/root/usr/sbin/dockerd" ]; then return; fi
    for keyring in /usr/share/keyrings/debian-archive-keyring.*; do :; done
    mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/packages"
    echo "deb [signed-by=$keyring] $MIRROR $SUITE main" >"$dir/apt/sources.list"
    cat >"$dir/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$dir/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$dir/apt/lists";
Dir::Cache "$dir/apt/cache";
APT::Sandbox::User "root";
CONF
    APT_CONFIG=$dir/apt/apt.conf apt-get -qq update
    (cd "$dir/packages" && APT_CONFIG=$dir/apt/apt.conf \
        apt-get -qq download docker.io docker-cli docker-compose docker-buildx containerd)
    for package in "$dir/packages"/*.deb; do dpkg-deb -x "$package" "$dir/root"; done
    mkdir -p "$dir/config"
    ln -sfn "$dir/root/usr/libexec/docker/cli-plugins" "$dir/config/cli-plugins"
}

needs() {
    missing=
    for tool in iptables runc debootstrap nft; do
        if ! command -v $tool >/dev/null; then missing="$missing $tool"; fi
    done
    missing=$(echo "$missing" | sed 's/nft/nftables/')
    # shellcheck disable=SC2086  # words are to be split
    if [ -n "$missing" ]; then
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >/dev/null
    fi
}

running() { [ -e "$dir/docker.pid" ] && kill -0 "$(cat "$dir/docker.pid")" 2>/dev/null; }

write_env() {
    cat >"$dir/env" <<ENV
export DOCKER_HOST=unix://$dir/docker.sock DOCKER_CONFIG=$dir/config PATH=$dir/root/usr/bin:\$PATH
export REDIS_IMAGE=local/redis HAPROXY_IMAGE=local/haproxy PROMETHEUS_IMAGE=local/prometheus NOFILE=20000
ENV
}

start_engine() {
    if running; then return; fi
    {
        cat /proc/sys/net/ipv4/ip_forward
        iptables -S FORWARD | sed -n 's/^-P FORWARD //p'
    } >"$dir/before"
    PATH=$dir/root/usr/bin:$dir/root/usr/sbin:$PATH setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" \
        -H "unix://$dir/docker.sock" --pidfile "$dir/docker.pid" --default-ulimit nofile=20000:20000 \
        >"$dir/log" 2>&1 </dev/null &
    for _ in $(seq 100); do
        if docker info >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    tail -20 "$dir/log" >&2
    exit 1
}

images() {
    if ! docker image inspect debian:$SUITE-slim >/dev/null 2>&1; then
        rm -rf "$dir/base"
        debootstrap --variant=minbase $SUITE "$dir/base" "$MIRROR" >"$dir/debootstrap.log"
        tar -C "$dir/base" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' --exclude='./var/cache/apt/archives/*.deb' -c . |
            docker import - debian:$SUITE-slim >/dev/null
        rm -rf "$dir/base"
    fi
    for image in redis haproxy prometheus; do
        docker build -q --target $image -t local/$image - >/dev/null <<DOCKERFILE
FROM debian:$SUITE-slim AS packages
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends \
    redis-server haproxy prometheus busybox >/dev/null && ln -s /bin/busybox /usr/local/bin/wget
FROM packages AS redis
RUN install -d -o redis -g redis /data
FROM packages AS haproxy
FROM packages AS prometheus
RUN install -d -o nobody -g nogroup /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
DOCKERFILE
    done
}

# What dockerd leaves behind: a bridge, rules and a policy. The table for addresses goes as well where nobody else has a
# rule in it: as long as there is one, the kernel tracks every connection of the machine.
remove_rules() {
    for table in filter nat; do
        iptables -t $table -S | sed -n '/DOCKER\|docker0/s/^-A/-D/p' | while read -r rule; do
            # shellcheck disable=SC2086
            iptables -t $table $rule || true
        done
        for chain in $(iptables -t $table -S | sed -n 's/^-N \(DOCKER.*\)/\1/p'); do iptables -t $table -X "$chain" || true; done
    done
    { read -r forward && read -r policy; } <"$dir/before"
    iptables -P FORWARD "$policy"
    echo "$forward" >/proc/sys/net/ipv4/ip_forward
    ip link delete docker0 2>/dev/null || true
    if ! iptables -t nat -S | grep -qv '^-P'; then nft delete table ip nat; fi
}

stop_engine() {
    if ! running; then return; fi
    containers=$(docker ps -aq)
    # shellcheck disable=SC2086
    if [ -n "$containers" ]; then docker rm -f $containers >/dev/null; fi
    docker network prune -f >/dev/null
    pid=$(cat "$dir/docker.pid")
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    remove_rules
}

# It also leaves the network namespace of the machine mounted (exec/netns/default), and DIR could not be removed.
unmount() {
    while read -r _ where _; do
        case $where in "$dir"/*) umount "$where" ;; esac
    done </proc/mounts
}

case $command in
start)
    needs
    unpack
    write_env
    . "$dir/env"
    start_engine
    images
    echo "engine: running; now: . $dir/env"
    ;;
stop)
    . "$dir/env"
    stop_engine
    unmount
    ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2
    exit 2
    ;;
esac
