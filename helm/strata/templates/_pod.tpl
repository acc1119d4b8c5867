{{/*
{root, component, args, own, environment, ports, probes, sharesBlobs, graceSeconds, lifecycle}: the pod of the API or of a
worker. `own` is api or one of workers.
*/}}
{{- define "strata.podTemplate" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
metadata:
  labels:
    {{- include "strata.labels" (dict "root" $root "component" .component) | nindent 4 }}
    {{- with .own.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ $values.config | toYaml | sha256sum }}
    {{- with .own.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  {{- include "strata.podBasics" $root | nindent 2 }}
  serviceAccountName: {{ include "strata.serviceAccountName" $root }}
  terminationGracePeriodSeconds: {{ .graceSeconds }}
  containers:
    - name: strata
      image: {{ include "strata.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{ .args | toJson }}
      env:
        {{- include "strata.environment" $root | nindent 8 }}
        {{- .environment | nindent 8 }}
      {{- with $values.credentials.models }}
      envFrom:
        {{- range . }}
        - secretRef: {name: {{ . }}}
        {{- end }}
      {{- end }}
      {{- if or .ports $values.metrics.enabled }}
      ports:
        {{- with .ports }}{{ toYaml . | nindent 8 }}{{ end }}
        {{- if $values.metrics.enabled }}
        - {name: metrics, containerPort: {{ $values.metrics.port }}}
        {{- end }}
      {{- end }}
      {{- .probes | nindent 6 }}
      {{- with .lifecycle }}
      lifecycle: {{ toYaml . | nindent 8 }}
      {{- end }}
      resources: {{ toYaml .own.resources | nindent 8 }}
      securityContext: {{ include "strata.confined" . | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/strata, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /data}
        {{- with $values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: config
      configMap: {name: {{ include "strata.fullname" $root }}}
    - name: tmp
      emptyDir: {sizeLimit: {{ $values.tmpSizeLimit }}}
    - name: data
      {{- if and .sharesBlobs (eq $values.blobs.type "volume") }}
      persistentVolumeClaim:
        claimName: {{ $values.blobs.volume.existingClaim | default (printf "%s-blobs" (include "strata.fullname" $root)) }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- with $values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with .own.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .own.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .own.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .own.topologySpreadConstraints }}
    {{- toYaml .own.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "strata.selector" (dict "root" $root "component" .component) | nindent 10 }}
    {{- end }}
{{- end -}}

{{/* What the pods of Deployments, Job and test have in common. */}}
{{- define "strata.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext: {{ toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{- define "strata.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
