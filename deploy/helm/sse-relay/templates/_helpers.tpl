{{/* Names, labels and what is computed of the values. */}}

{{- define "sse-relay.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sse-relay.fullname" -}}
{{- $name := include "sse-relay.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sse-relay.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sse-relay.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sse-relay.labels" -}}
{{ include "sse-relay.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An object's metadata. "at" is the root; "name" is the release's where it is not given; "labels" and "annotations" are the object's own beside those of all objects. What
     selects pods cannot be overridden. */}}
{{- define "sse-relay.metadata" -}}
metadata:
  name: {{ .name | default (include "sse-relay.fullname" .at) }}
  namespace: {{ .at.Release.Namespace }}
  labels:
    {{- merge (include "sse-relay.labels" .at | fromYaml) (.labels | default dict) .at.Values.commonLabels | toYaml | nindent 4 }}
  {{- with merge (dict) (.annotations | default dict) .at.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "sse-relay.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "sse-relay.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "sse-relay.image" -}}
{{- with .Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The job that Prometheus scrapes the pods as. The alerts know relays by it, so whatever the release is called, it is in there. */}}
{{- define "sse-relay.jobName" -}}
{{- $name := include "sse-relay.fullname" . }}
{{- .Values.serviceMonitor.jobName | default (ternary $name (printf "sse-relay-%s" $name) (contains "sse-relay" $name)) }}
{{- end }}

{{/* Where the pods have the Redis URL from, as the value of an environment variable. */}}
{{- define "sse-relay.redisSource" -}}
{{- if .Values.redis.url -}}
value: {{ .Values.redis.url | quote }}
{{- else -}}
valueFrom:
  secretKeyRef:
    name: {{ required "redis: name a Secret object with the Redis URL in redis.existingSecret.name, or give redis.url" .Values.redis.existingSecret.name }}
    key: {{ .Values.redis.existingSecret.key }}
{{- end }}
{{- end }}

{{/* Keys of the Secret of tokens as the files that the relay sees. */}}
{{- define "sse-relay.tokenFiles" -}}
{{- $files := list }}{{ range . }}{{ $files = append $files (printf "/etc/sse-relay/tokens/%s" .) }}{{ end }}
{{- join "," $files }}
{{- end }}

{{/* The name of that Secret; nothing where there is none. One without the other would open everything, or mount what nobody reads. */}}
{{- define "sse-relay.tokenSecret" -}}
{{- with .Values.tokens.existingSecret }}
{{- $keys := concat (.secrets | default list) (.publicKeys | default list) }}
{{- if and .name (not $keys) }}{{ fail "tokens.existingSecret: say which keys of the Secret are meant, in secrets or publicKeys" }}{{ end }}
{{- if and $keys (not .name) }}{{ fail "tokens.existingSecret.name: name the Secret that holds these keys" }}{{ end }}
{{- .name }}
{{- end }}
{{- end }}

{{/* How clients are served, which is also the name of the ports for them: controllers and gateways go by it. Files of TLS that nothing
     would read are a mistake: clients would be served by plain HTTP, or let in without a certificate. */}}
{{- define "sse-relay.scheme" -}}
{{- with .Values.tls }}
{{- $tickets := .ticketKeys.existingSecret }}
{{- if and $tickets.name (not $tickets.keys) }}{{ fail "tls.ticketKeys.existingSecret.keys: say which keys of the Secret are meant" }}{{ end }}
{{- if and $tickets.keys (not $tickets.name) }}{{ fail "tls.ticketKeys.existingSecret.name: name the Secret that holds these keys" }}{{ end }}
{{- if and (or $tickets.name .clientCa.existingSecret.name) (not .existingSecrets) }}
{{- fail "tls.existingSecrets: name the Secret with the certificate; tls.ticketKeys and tls.clientCa are of no use without it" }}
{{- end }}
{{- ternary "https" "http" (not (empty .existingSecrets)) }}
{{- end }}
{{- end }}

{{- define "sse-relay.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 (eq (include "sse-relay.scheme" .) "https")) }}
{{- end }}

{{/* The Secrets of which the relay reads files: by the volume's name, the Secret's and the folder's. */}}
{{- define "sse-relay.secretFolders" -}}
{{- with include "sse-relay.tokenSecret" . }}
- {name: tokens, secret: {{ . }}, path: tokens}
{{- end }}
{{- range $i, $name := .Values.tls.existingSecrets }}
- {name: tls-{{ $i }}, secret: {{ $name }}, path: tls/{{ $name }}}
{{- end }}
{{- with .Values.tls.ticketKeys.existingSecret.name }}
- {name: tls-ticket-keys, secret: {{ . }}, path: tls-ticket-keys}
{{- end }}
{{- with .Values.tls.clientCa.existingSecret.name }}
- {name: tls-client-ca, secret: {{ . }}, path: tls-client-ca}
{{- end }}
{{- end }}

{{/* Its options of TLS, as environment variables; nothing where clients are served by plain HTTP. */}}
{{- define "sse-relay.tlsEnv" -}}
{{- with .Values.tls }}
{{- if .existingSecrets }}
{{- $certs := list }}{{ $keys := list }}{{ $tickets := list }}
{{- range .existingSecrets }}
{{- $certs = append $certs (printf "/etc/sse-relay/tls/%s/tls.crt" .) }}{{ $keys = append $keys (printf "/etc/sse-relay/tls/%s/tls.key" .) }}
{{- end }}
{{- range .ticketKeys.existingSecret.keys }}{{ $tickets = append $tickets (printf "/etc/sse-relay/tls-ticket-keys/%s" .) }}{{ end }}
- name: SSE_RELAY_TLS_CERT
  value: {{ join "," $certs | quote }}
- name: SSE_RELAY_TLS_KEY
  value: {{ join "," $keys | quote }}
{{- with $tickets }}
- name: SSE_RELAY_TLS_TICKET_KEY
  value: {{ join "," . | quote }}
{{- end }}
{{- with .clientCa.existingSecret }}
{{- if .name }}
- name: SSE_RELAY_TLS_CLIENT_CA
  value: "/etc/sse-relay/tls-client-ca/{{ .key }}"
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether there is something for `helm test`: no certificate is for the Service's name, unless somebody says so. */}}
{{- define "sse-relay.tested" -}}
{{- if and .Values.tests.enabled (or (eq (include "sse-relay.scheme" .) "http") .Values.tests.url) }}yes{{ end }}
{{- end }}

{{/* How the pod of `helm test` reads: with a token that it makes, of the first secret ("minted"); without one ("open"); or not at all, since a token is wanted and there
     are only public keys, unless everybody may read its topic (""). */}}
{{- define "sse-relay.testReads" -}}
{{- if not (include "sse-relay.tokenSecret" .) }}open
{{- else if .Values.tokens.existingSecret.secrets }}minted
{{- else if has .Values.tests.topic (include "sse-relay.optionValue" (.Values.config.public | default list) | splitList ",") }}open
{{- end }}
{{- end }}

{{/* What the pod's end is made of: as given, or the relay's own default. 0 is no nothing. */}}
{{- define "sse-relay.drainGrace" -}}
{{ hasKey .Values.config "drain_grace" | ternary .Values.config.drain_grace "2s" }}
{{- end }}
{{- define "sse-relay.drain" -}}
{{ hasKey .Values.config "drain" | ternary .Values.config.drain "10s" }}
{{- end }}

{{/* A TIME of the relay's options in whole seconds, rounded up. */}}
{{- define "sse-relay.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else }}{{ mul $number (get (dict "" 1 "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) }}
{{- end }}
{{- end }}

{{/* How long a pod may take to end. The relay gives the last bytes 5 s behind its drain; 5 s more are for
     what stops the container. A pod killed before would drop all that are left at once. */}}
{{- define "sse-relay.gracePeriod" -}}
{{- $grace := include "sse-relay.drainGrace" . | include "sse-relay.seconds" | int64 }}
{{- $drain := include "sse-relay.drain" . | include "sse-relay.seconds" | int64 }}
{{- $needed := add .Values.termination.preStopSeconds $grace $drain 10 }}
{{- $given := .Values.termination.gracePeriodSeconds | int64 }}
{{- if and $given (lt $given $needed) }}
{{- fail (printf "termination.gracePeriodSeconds is %d, but preStop (%v s), config.drain_grace (%d s), config.drain (%d s) and 10 s for the end need %d: raise it, or leave it 0 to have it computed" $given .Values.termination.preStopSeconds $grace $drain $needed) }}
{{- end }}
{{- $given | default $needed }}
{{- end }}

{{/* An option's value as its environment variable holds it. */}}
{{- define "sse-relay.optionValue" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if kindIs "float64" . }}{{ int64 . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}
