#!/bin/sh
# Becomes process 1 of a machine of its own: called by systemd_box.py inside fresh namespaces.
#     box.sh DIRECTORY UNITS
# Its disk is this machine's as it is, with a layer above it in memory that takes all writes; its /proc/sys and /sys cannot be
# written, so neither can this machine's kernel be set up anew. systemd starts nothing but UNITS/box.target and what that wants.
# Exit code 77: this kernel, or whoever confines us, does not allow it.
set -e
directory=$1
units=$2
root=$directory/root
trap '[ $? = 0 ] || exit 77' EXIT

mount --make-rprivate /
mount -t tmpfs box "$directory"
mkdir "$directory/above" "$directory/work" "$root"
mount -t overlay box -o "lowerdir=/,upperdir=$directory/above,workdir=$directory/work" "$root"

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sys "$root/sys"
mount -t tmpfs groups "$root/sys/fs/cgroup"
mount -t cgroup2 groups "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do
    : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir "$root/dev/shm"

cp -R "$units/." "$root/"
: >"$root/etc/fstab"
rm -f "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/old"
cd "$root"
pivot_root . old
cd /
umount -l /old
# As a machine has it, and whoever starts a container has to do: what systemd mounts for a unit's credentials, it does in a child.
mount --make-rshared /
exec env -i container=other PATH=/usr/bin:/usr/sbin /lib/systemd/systemd --system --unit=box.target
