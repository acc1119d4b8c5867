{{- define "qdrant.fullname" -}}
{{- if gt (len .Release.Name) 32 -}}
{{ printf "%s-%s-qdrant" (.Release.Name | trunc 25 | trimSuffix "-") (.Release.Name | sha256sum | trunc 6) }}
{{- else -}}
{{ .Release.Name }}-qdrant
{{- end -}}
{{- end -}}

{{- define "qdrant.selector" -}}
app.kubernetes.io/name: qdrant
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "qdrant.labels" -}}
{{ include "qdrant.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: strata
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
