#!/bin/sh
# Puts what the image holds into DIR, from a tree that is built:
#     SOURCE_DATE_EPOCH=0 sh deploy/image/collect.sh DIR
# Both programs and every library that they load, at the place where the loader looks; certificates for `sse-publish tail`;
# a user; and who made all that: a list of parts (SPDX), the licences, and the packages as scanners expect them.
# For Debian and its relatives of any architecture, since it asks ldd and dpkg.
set -eu

dir=$1
here=$(dirname "$0")
programs="sse-relay sse-publish"

# The paths of all libraries that the programs load, the loader among them.
libraries() {
    for program in $programs; do ldd "build/$program"; done >"$dir.ldd"
    if grep 'not found' "$dir.ldd" >&2; then exit 1; fi
    awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' "$dir.ldd" | sort -u
    rm "$dir.ldd"
}

# The package that brought a file. What dpkg knows as /usr/lib may be found as /lib, or the other way round.
package_of() {
    real=$(realpath "$1")
    for path in "$1" "$real" "/usr$1" "${real#/usr}"; do
        if dpkg -S "$path" 2>/dev/null | sed -n '/^diversion by/!{s/[:,].*//p;q;}' | grep .; then return; fi
    done
    echo "collect: no package owns $1" >&2
    exit 1
}

# What is in the programs themselves: headers, and llhttp where it is no library of its own.
built_in() {
    for file in /usr/include/uthash.h /usr/share/llhttp/llhttp.c; do
        if [ -e "$file" ]; then package_of "$file"; fi
    done
}

rm -rf "$dir"
doc=$dir/usr/share/doc/sse-relay
mkdir -p "$dir/usr/bin" "$dir/etc/ssl/certs" "$dir/usr/share/sbom" "$dir/var/lib/dpkg/status.d" "$doc"
for program in $programs; do install -s -m 755 "build/$program" "$dir/usr/bin/$program"; done
libraries | while read -r library; do
    mkdir -p "$dir$(dirname "$library")"
    cp -L "$library" "$dir$library"
done

cp /etc/ssl/certs/ca-certificates.crt "$dir/etc/ssl/certs/"
cp -L /etc/os-release "$dir/etc/"
echo 'relay:x:10001:10001::/:/nonexistent' >"$dir/etc/passwd"
echo 'relay:x:10001:' >"$dir/etc/group"
echo 'hosts: files dns' >"$dir/etc/nsswitch.conf"

packages=$({
    libraries | while read -r library; do package_of "$library"; done
    built_in
    echo ca-certificates
} | sort -u)
for package in $packages; do dpkg-query -s "$package" >"$dir/var/lib/dpkg/status.d/$package"; done
cp LICENSE "$doc/"
for package in $packages; do
    printf '\n==== %s ====\n\n' "$package"
    cat "/usr/share/doc/$package/copyright"
done >"$doc/LICENSES-OF-PARTS"
cat /usr/share/common-licenses/* >>"$doc/LICENSES-OF-PARTS"
gzip -9n "$doc/LICENSES-OF-PARTS"
version=$("build/sse-relay" --version | sed 's/.* //')
# shellcheck disable=SC2086  # words are to be split
sh "$here/sbom.sh" "$version" $packages >"$dir/usr/share/sbom/sse-relay.spdx.json"

# Whatever is missing is seen here and not by those who run the image.
for program in $programs; do chroot "$dir" "/usr/bin/$program" --version; done
find "$dir" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
