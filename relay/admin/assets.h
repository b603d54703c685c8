/* The console's files, embedded by embed.sh at build time.
 *
 * Constant bytes, any thread, never freed. */
#ifndef RELAY_ADMIN_ASSETS_H
#define RELAY_ADMIN_ASSETS_H

#include <stddef.h>

extern const unsigned char asset_console_html[], asset_console_css[];
extern const unsigned char asset_console_js[], asset_words_js[];
extern const size_t asset_console_html_len, asset_console_css_len;
extern const size_t asset_console_js_len, asset_words_js_len;

#endif
