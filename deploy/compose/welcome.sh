#!/bin/sh
# Starts the balancer of docker-compose.yml, the last of what is needed, and says where to look:
#     welcome.sh COMMAND [ARGUMENT]...
# The ports come from the environment.
set -eu

page=http://localhost:$HTTP_PORT
cat <<WELCOME

sse-relay is up.
  console               $page/    (https://localhost:$HTTPS_PORT/ for HTTP/2)
  with --profile demo   $page/?topics=time,letters
  watch                 curl -N '$page/sse?topic=news'
  publish               curl -d 'hello, world' '$page/sse?topic=news'
  publish by Redis      sse-publish --redis redis://127.0.0.1:$REDIS_PORT news 'hello, world'

WELCOME
exec "$@"
