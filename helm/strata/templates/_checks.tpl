{{/* What cannot work is refused here, each with its remedy. */}}
{{- define "strata.checks" -}}
{{- $values := .Values -}}
{{- if not $values.image.repository -}}
{{- fail "image.repository is empty: build the image from Strata's Dockerfile, push it to a registry that the cluster reaches, and name it" -}}
{{- end -}}
{{- range $name := include "strata.credentials" . | fromJsonArray -}}
{{- if not (or (get $values.credentials $name).existingSecret $values.global.existingSecret) -}}
{{- fail (printf "global.existingSecret is empty, and so is credentials.%s.existingSecret: make a Secret as docs/operations.md says (kubectl create secret generic strata …) and name it" $name) -}}
{{- end -}}
{{- end -}}
{{- range $chart := list "qdrant" "valkey" -}}
{{- $part := get $values $chart -}}
{{- if and $part.enabled (not (or $part.auth.existingSecret $values.global.existingSecret)) -}}
{{- fail (printf "global.existingSecret is empty, and so is %s.auth.existingSecret: put the key %s into a Secret and name it" $chart $part.auth.key) -}}
{{- end -}}
{{- end -}}
{{- if not (or $values.valkey.enabled $values.redis.host) -}}
{{- fail "there is no queue: set redis.host, or valkey.enabled to true" -}}
{{- end -}}
{{- if not (or $values.qdrant.enabled $values.index.url) -}}
{{- fail "there is no index: set index.url to a Qdrant server, or qdrant.enabled to true" -}}
{{- end -}}
{{- include "strata.checkBlobs" . -}}
{{- include "strata.checkScaling" . -}}
{{- include "strata.checkWorkers" . -}}
{{- include "strata.checkConfig" . -}}
{{- end -}}

{{- define "strata.checkBlobs" -}}
{{- $blobs := .Values.blobs -}}
{{- if eq $blobs.type "s3" -}}
{{- if not $blobs.s3.url -}}
{{- fail "blobs.type is s3: set blobs.s3.url to s3://BUCKET/PREFIX" -}}
{{- end -}}
{{- else if not (or $blobs.volume.existingClaim (has "ReadWriteMany" $blobs.volume.accessModes)) -}}
{{- fail "API and workers are several pods that share the blobs: give blobs.volume.accessModes ReadWriteMany and a storage class that offers it, or set blobs.type to s3" -}}
{{- end -}}
{{- end -}}

{{- define "strata.checkScaling" -}}
{{- if and .Values.api.autoscaling.enabled (not (kindIs "invalid" .Values.api.replicas)) -}}
{{- fail "api.replicas is set while api.autoscaling.enabled is true, and the two would fight: remove api.replicas, or set api.autoscaling.enabled to false" -}}
{{- end -}}
{{- range $name, $worker := include "strata.workers" . | fromJson -}}
{{- if $worker.autoscaling.enabled -}}
{{- if not (kindIs "invalid" $worker.replicas) -}}
{{- fail (printf "workers.%s.replicas is set while workers.%s.autoscaling.enabled is true, and the two would fight: remove replicas, or set autoscaling.enabled to false" $name $name) -}}
{{- end -}}
{{- if gt (int $worker.autoscaling.minReplicas) (int $worker.autoscaling.maxReplicas) -}}
{{- fail (printf "workers.%s.autoscaling: minReplicas is above maxReplicas" $name) -}}
{{- end -}}
{{- range list "plan" "prune" "cite" -}}
{{- if and (has . $worker.roles) (lt (int $worker.autoscaling.minReplicas) 1) -}}
{{- fail (printf "workers.%s.autoscaling.minReplicas is 0, but a question does not wait until a pod for its stage %s has started: set it to 1 or more" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "strata.checkWorkers" -}}
{{- $workers := include "strata.workers" . | fromJson -}}
{{- range $role := list "plan" "prune" "cite" "ingest" "answers" "sync" -}}
{{- $served := false -}}
{{- range $workers -}}
{{- if has $role .roles -}}{{- $served = true -}}{{- end -}}
{{- end -}}
{{- if not $served -}}
{{- fail (printf "no worker has the role %s, so its work would wait for ever: enable workers.%s, or add the role to the roles of another worker" $role $role) -}}
{{- end -}}
{{- end -}}
{{- range $name, $worker := $workers -}}
{{- $longest := include "strata.longestTask" (dict "root" $ "roles" $worker.roles) | int -}}
{{- if and $worker.terminationGracePeriodSeconds (le (int $worker.terminationGracePeriodSeconds) $longest) -}}
{{- fail (printf "workers.%s.terminationGracePeriodSeconds must be above %d, the seconds of its longest task: raise it, or leave it empty" $name $longest) -}}
{{- end -}}
{{- end -}}
{{- $shutdown := mul 2 (include "strata.apiShutdown" . | int) -}}
{{- if and .Values.api.terminationGracePeriodSeconds (le (int .Values.api.terminationGracePeriodSeconds) (int $shutdown)) -}}
{{- fail (printf "api.terminationGracePeriodSeconds must be above %d, twice api.shutdown_s: raise it, or leave it empty" $shutdown) -}}
{{- end -}}
{{- end -}}

{{- define "strata.checkConfig" -}}
{{- $config := .Values.config -}}
{{- $ours := dict
  "data_dir" "the chart mounts it at /data"
  "state.url" "credentials.database"
  "queue.url" "redis, or valkey.enabled"
  "queue.prefix" "queuePrefix"
  "queue.heartbeat_file" "the chart probes it at /tmp/heartbeat"
  "index.mode" "index.url, or qdrant.enabled"
  "index.url" "index.url of the chart"
  "index.api_key" "credentials.qdrant"
  "blobs.url" "blobs"
  "blobs.options" "blobs.s3 and credentials.s3AccessKey"
  "ingest.source_options" "a Secret in credentials.models with the key STRATA_INGEST__SOURCE_OPTIONS"
  "api.host" "the chart binds every address"
  "api.port" "api.service.port"
  "api.keys" "the chart requires keys"
  "api.bootstrap_key" "credentials.bootstrap"
  "telemetry.metrics_port" "metrics.port"
  "telemetry.metrics_host" "metrics.enabled" -}}
{{- range $path, $remedy := $ours -}}
{{- $parts := splitList "." $path -}}
{{- $section := $config -}}
{{- if eq (len $parts) 2 -}}{{- $section = get $config (first $parts) | default dict -}}{{- end -}}
{{- if hasKey $section (last $parts) -}}
{{- fail (printf "config.%s is set by the chart: remove it and use %s" $path $remedy) -}}
{{- end -}}
{{- end -}}
{{- range $index, $model := $config.models -}}
{{- range $name, $value := $model.litellm_params -}}
{{- if and (kindIs "string" $value) (regexMatch "(?i)(key|secret|token|password|credential)" $name) (not (hasPrefix "os.environ/" $value)) -}}
{{- fail (printf "config.models[%d].litellm_params.%s would lie in a ConfigMap: write os.environ/NAME, and put NAME into a Secret that credentials.models lists" $index $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
