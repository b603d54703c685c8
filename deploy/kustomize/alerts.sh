#!/bin/sh
# Writes the alerts of deploy/observability as a PrometheusRule into components/monitoring: kustomize reads no file from outside its
# folder, and follows no link to one. `make docs` calls it; a test compares.
set -eu
cd "$(dirname "$0")"
rule=components/monitoring/prometheusrule.yaml
{
    cat <<'HEAD'
# Written by `make docs` from deploy/observability/prometheus/alerts.yml: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sse-relay
spec:
HEAD
    sed '/^#/d; s/^./  &/' ../observability/prometheus/alerts.yml
} >"$rule.new"
mv "$rule.new" "$rule"
