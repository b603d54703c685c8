#!/bin/sh
# Prints C source that holds each named file as an array: console.html becomes asset_console_html[] and
# asset_console_html_len. POSIX sh and od only, so that no build machine needs more.
set -eu
echo '#include "relay/admin/assets.h"'
for file; do
    name=asset_$(basename "$file" | tr -c 'A-Za-z0-9\n' '_')
    printf 'const unsigned char %s[] = {\n' "$name"
    od -An -v -tx1 "$file" | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'
    printf '};\nconst size_t %s_len = sizeof(%s);\n' "$name" "$name"
done
