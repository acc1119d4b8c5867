{{/* What every process of Strata is told beside its configuration file. */}}
{{- define "strata.environment" -}}
{{- $values := .Values -}}
{{- $redis := include "strata.redis" . | fromJson -}}
- name: STRATA_CONFIG
  value: /etc/strata/strata.yaml
- name: STRATA_DATA_DIR
  value: /data
- name: STRATA_STATE__URL
  valueFrom:
    secretKeyRef:
      {{- include "strata.secretKeyRef" (dict "root" . "credential" $values.credentials.database) | nindent 6 }}
{{- if $redis.auth }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- include "strata.secretKeyRef" (dict "root" . "credential" $redis.credential) | nindent 6 }}
{{- end }}
- name: STRATA_QUEUE__URL
  value: {{ include "strata.redisUrl" . | quote }}
- name: STRATA_QUEUE__PREFIX
  value: {{ $values.queuePrefix | quote }}
- name: STRATA_INDEX__MODE
  value: server
- name: STRATA_INDEX__URL
  value: {{ include "strata.qdrantUrl" . | quote }}
{{- $qdrantKey := $values.qdrant.enabled | ternary $values.qdrant.auth $values.credentials.qdrant }}
{{- if or $values.qdrant.enabled $values.index.auth }}
- name: STRATA_INDEX__API_KEY
  valueFrom:
    secretKeyRef:
      {{- include "strata.secretKeyRef" (dict "root" . "credential" $qdrantKey) | nindent 6 }}
{{- end }}
{{- if eq $values.blobs.type "s3" }}
- name: STRATA_BLOBS__URL
  value: {{ $values.blobs.s3.url | quote }}
{{- with $values.blobs.s3.endpointUrl }}
- name: STRATA_BLOBS__OPTIONS__ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with $values.blobs.s3.region }}
- name: STRATA_BLOBS__OPTIONS__REGION
  value: {{ . | quote }}
{{- end }}
{{- if eq $values.blobs.s3.auth "secret" }}
- name: STRATA_BLOBS__OPTIONS__KEY
  valueFrom:
    secretKeyRef:
      {{- include "strata.secretKeyRef" (dict "root" . "credential" $values.credentials.s3AccessKey) | nindent 6 }}
- name: STRATA_BLOBS__OPTIONS__SECRET
  valueFrom:
    secretKeyRef:
      {{- include "strata.secretKeyRef" (dict "root" . "credential" $values.credentials.s3SecretKey) | nindent 6 }}
{{- end }}
{{- end }}
{{- if $values.metrics.enabled }}
- name: STRATA_TELEMETRY__METRICS_HOST
  value: 0.0.0.0
- name: STRATA_TELEMETRY__METRICS_PORT
  value: {{ $values.metrics.port | quote }}
{{- end }}
- name: STRATA_ENCODER__THREADS   # the container's processors; PyTorch would count the node's
  valueFrom:
    resourceFieldRef: {resource: limits.cpu, divisor: "1"}
{{- with $values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Kubernetes puts the password in. */}}
{{- define "strata.redisUrl" -}}
{{- $redis := include "strata.redis" . | fromJson -}}
{{- $login := $redis.username -}}
{{- if $redis.auth -}}{{- $login = printf "%s:$(REDIS_PASSWORD)" $login -}}{{- end -}}
{{- if $login -}}{{- $login = printf "%s@" $login -}}{{- end -}}
{{- $scheme := $redis.tls | ternary "rediss" "redis" -}}
{{ printf "%s://%s%s:%d/%d" $scheme $login $redis.host (int $redis.port) (int $redis.database) }}
{{- end -}}

{{- define "strata.qdrantUrl" -}}
{{- if .Values.qdrant.enabled -}}
http://{{ include "qdrant.fullname" . }}:6333
{{- else -}}
{{ .Values.index.url }}
{{- end -}}
{{- end -}}
