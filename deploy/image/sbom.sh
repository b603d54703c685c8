#!/bin/sh
# Prints the list of parts of the image, as SPDX 2.3 in JSON:
#     SOURCE_DATE_EPOCH=0 sh deploy/image/sbom.sh VERSION PACKAGE...
# The packages are Debian's, installed on this machine. The same parts give the same bytes.
set -eu

version=$1
shift
. /etc/os-release
field() { dpkg-query -W -f="\${$2}" "$1"; }
parts=$(for package; do dpkg-query -W -f='${Package} ${Version} ${Architecture}\n' "$package"; done | sort)
digest=$(printf '%s' "$parts" | sha256sum | cut -c 1-32)

# One package. $1: its name, $2: its version, $3: its licence, $4: further members.
package() {
    printf '    {"SPDXID": "SPDXRef-%s", "name": "%s", "versionInfo": "%s", "downloadLocation": "NOASSERTION", ' \
        "$(echo "$1" | tr -c 'a-zA-Z0-9.\n' -)" "$1" "$2"
    printf '"filesAnalyzed": false, "licenseConcluded": "NOASSERTION", "licenseDeclared": "%s", ' "$3"
    printf '"copyrightText": "NOASSERTION"%s}' "$4"
}

debian_package() {
    v=$(field "$1" Version)
    locator="pkg:deb/$ID/$1@$(echo "$v" | sed 's/+/%2B/g; s/:/%3A/g')?arch=$(field "$1" Architecture)&distro=$ID-${VERSION_ID-}"
    purl="{\"referenceCategory\": \"PACKAGE-MANAGER\", \"referenceType\": \"purl\", \"referenceLocator\": \"$locator\"}"
    from="built from $(field "$1" source:Package) $(field "$1" source:Version)"
    package "$1" "$v" NOASSERTION ", \"sourceInfo\": \"$from\", \"externalRefs\": [$purl]"
}

cat <<HEAD
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "sse-relay-$version",
  "documentNamespace": "https://spdx.org/spdxdocs/sse-relay-$version-$digest",
  "creationInfo": {"created": "$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%dT%H:%M:%SZ)", "creators": ["Tool: sbom.sh"]},
  "packages": [
HEAD
package sse-relay "$version" MIT ''
for name; do
    printf ',\n'
    debian_package "$name"
done
printf '\n  ],\n  "relationships": [\n'
relationship='    {"spdxElementId": "SPDXRef-%s", "relationshipType": "%s", "relatedSpdxElement": "SPDXRef-%s"}'
# shellcheck disable=SC2059  # the format is above
printf "$relationship" DOCUMENT DESCRIBES sse-relay
for name; do
    # shellcheck disable=SC2059
    printf ",\n$relationship" sse-relay CONTAINS "$(echo "$name" | tr -c 'a-zA-Z0-9.\n' -)"
done
printf '\n  ]\n}\n'
