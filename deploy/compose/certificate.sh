#!/bin/sh
# A certificate for localhost in localhost.pem of the given folder (/tls), key included, made when there is none or it has less
# than 30 days left. It is signed by itself: what reads it has to be told so, with the part of it in localhost.crt.
set -eu

folder=${1:-/tls}
pem=$folder/localhost.pem
command -v openssl >/dev/null || { echo "certificate: the program openssl is missing; install the package of that name" >&2; exit 1; }
mkdir -p "$folder"
if openssl x509 -in "$pem" -noout -checkend $((30 * 24 * 3600)) >/dev/null 2>&1; then exit 0; fi

umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' -addext 'basicConstraints=critical,CA:FALSE' \
    -keyout "$folder/new.key" -out "$folder/new.crt"
cat "$folder/new.crt" "$folder/new.key" >"$folder/new.pem"
rm "$folder/new.key"
chmod 644 "$folder/new.crt"
mv "$folder/new.crt" "$folder/localhost.crt"
mv "$folder/new.pem" "$pem"
echo "certificate: a new one for localhost, for a year"
