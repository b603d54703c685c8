#!/bin/sh
# A certificate for localhost in /tls/localhost.pem, key included, made when there is none or it has less than 30 days left.
# It is signed by itself: what reads it has to be told so, with the part of it in /tls/localhost.crt.
set -eu

pem=/tls/localhost.pem
if openssl x509 -in "$pem" -noout -checkend $((30 * 24 * 3600)) >/dev/null 2>&1; then exit 0; fi

umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1' -addext 'basicConstraints=critical,CA:FALSE' \
    -keyout /tls/new.key -out /tls/new.crt
cat /tls/new.crt /tls/new.key >/tls/new.pem
rm /tls/new.key
chmod 644 /tls/new.crt
mv /tls/new.crt /tls/localhost.crt
mv /tls/new.pem "$pem"
echo "certificate: a new one for localhost, for a year"
