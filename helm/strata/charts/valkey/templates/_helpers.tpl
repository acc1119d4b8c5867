{{- define "valkey.fullname" -}}
{{- if gt (len .Release.Name) 32 -}}
{{ printf "%s-%s-valkey" (.Release.Name | trunc 25 | trimSuffix "-") (.Release.Name | sha256sum | trunc 6) }}
{{- else -}}
{{ .Release.Name }}-valkey
{{- end -}}
{{- end -}}

{{- define "valkey.selector" -}}
app.kubernetes.io/name: valkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "valkey.labels" -}}
{{ include "valkey.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: strata
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
