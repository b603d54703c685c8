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

{{- define "sse-relay.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "sse-relay.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "sse-relay.image" -}}
{{- with .Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
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
