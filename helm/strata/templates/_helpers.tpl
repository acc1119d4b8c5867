{{/* A release's name, at most 32 characters: longer ones end in a hash, so that two never meet. */}}
{{- define "strata.release" -}}
{{- if gt (len .Release.Name) 32 -}}
{{ printf "%s-%s" (.Release.Name | trunc 25 | trimSuffix "-") (.Release.Name | sha256sum | trunc 6) }}
{{- else -}}
{{ .Release.Name }}
{{- end -}}
{{- end -}}

{{- define "strata.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains "strata" .Release.Name -}}
{{ include "strata.release" . }}
{{- else -}}
{{ include "strata.release" . }}-strata
{{- end -}}
{{- end -}}

{{/* What selects the pods of this release; with a component, those of one Deployment. */}}
{{- define "strata.selector" -}}
app.kubernetes.io/name: strata
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "strata.labels" -}}
{{ include "strata.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: strata
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "strata.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "strata.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "strata.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* {root, credential}: the Secret of a credential and the key in it. */}}
{{- define "strata.secretKeyRef" -}}
name: {{ .credential.existingSecret | default .root.Values.global.existingSecret }}
key: {{ .credential.key }}
{{- end -}}

{{/* The names of the credentials that this release needs of `.Values.credentials`, as JSON. */}}
{{- define "strata.credentials" -}}
{{- $names := list "database" -}}
{{- if and (not .Values.valkey.enabled) .Values.redis.auth -}}{{- $names = append $names "redis" -}}{{- end -}}
{{- if and (not .Values.qdrant.enabled) .Values.index.auth -}}{{- $names = append $names "qdrant" -}}{{- end -}}
{{- if and (eq .Values.blobs.type "s3") (eq .Values.blobs.s3.auth "secret") -}}
{{- $names = concat $names (list "s3AccessKey" "s3SecretKey") -}}
{{- end -}}
{{ $names | toJson }}
{{- end -}}

{{/* The parts of the queue's address, whoever runs it, as JSON. */}}
{{- define "strata.redis" -}}
{{- if .Values.valkey.enabled -}}
{{- $ours := dict "host" (include "valkey.fullname" .) "port" 6379 "database" 0 "username" "" "tls" false -}}
{{ merge (dict "auth" true "credential" .Values.valkey.auth) $ours | toJson }}
{{- else -}}
{{ merge (dict "credential" .Values.credentials.redis) .Values.redis | toJson }}
{{- end -}}
{{- end -}}

{{/* Every worker with the defaults filled in, by name, as JSON. */}}
{{- define "strata.workers" -}}
{{- $workers := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- $worker := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy ($own | default dict)) -}}
{{- if $worker.enabled -}}
{{- $_ := set $worker "roles" ($worker.roles | default (list $name)) -}}
{{- $_ := set $workers $name $worker -}}
{{- end -}}
{{- end -}}
{{ $workers | toJson }}
{{- end -}}

{{/* {root, roles}: seconds that the longest task of these roles may take. The defaults are those of Strata's settings. */}}
{{- define "strata.longestTask" -}}
{{- $config := .root.Values.config -}}
{{- $seconds := dict
  "api" (dig "answer" "deadline_s" 60 $config)
  "plan" (dig "plan" "timeout_s" 8 $config)
  "prune" (dig "prune" "timeout_s" 10 $config)
  "cite" (dig "cite" "timeout_s" 10 $config)
  "ingest" (dig "convert" "timeout_s" 120 $config)
  "answers" (dig "answer" "deadline_s" 60 $config)
  "sync" (dig "blobs" "timeout_s" 30 $config) -}}
{{- $longest := 0 -}}
{{- range .roles -}}
{{- $longest = max $longest (get $seconds . | ceil | int) -}}
{{- end -}}
{{ $longest }}
{{- end -}}

{{/* The time that running requests get when the API stops. */}}
{{- define "strata.apiShutdown" -}}
{{- $longest := include "strata.longestTask" (dict "root" . "roles" (list "api")) -}}
{{ dig "api" "shutdown_s" $longest .Values.config | ceil | int }}
{{- end -}}
