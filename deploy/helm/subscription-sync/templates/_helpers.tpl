{{/* Name of the objects of this release. */}}
{{- define "subscription-sync.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "subscription-sync.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "subscription-sync.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "subscription-sync.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels of pods. A new version of the chart alone replaces no pod. */}}
{{- define "subscription-sync.podLabels" -}}
{{ include "subscription-sync.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
{{- end -}}

{{- define "subscription-sync.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "subscription-sync.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "subscription-sync.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Names of the Deployments, separated by spaces. */}}
{{- define "subscription-sync.deployments" -}}
{{- eq .Values.mode "single" | ternary "single" "api sync replica" -}}
{{- end -}}

{{/* Name of the Deployment that serves the API. */}}
{{- define "subscription-sync.apiDeployment" -}}
{{- eq .Values.mode "single" | ternary "single" "api" -}}
{{- end -}}

{{/* A setting as text. Helm reads numbers as floats, which it would print as 3.6e+06. */}}
{{- define "subscription-sync.text" -}}
{{- if kindIs "float64" . -}}{{- . | int64 -}}{{- else -}}{{- . -}}{{- end -}}
{{- end -}}

{{/* Settings, secrets or files (`key`) of all roles with those of one (`of`), which take precedence. As JSON. A value of null removes one. */}}
{{- define "subscription-sync.merged" -}}
{{- $merged := dict -}}
{{- range $source := list (get .root.Values .key) (get .of .key) -}}
{{- range $name, $value := $source -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $merged $name -}}{{- else -}}{{- $_ := set $merged $name $value -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $merged | toJson -}}
{{- end -}}

{{/* Limit (MB) of Node's heap: 60 % of the memory limit. The rest is for buffers, code and stacks. */}}
{{- define "subscription-sync.heapMb" -}}
{{- $limit := toString . -}}
{{- if regexMatch "^[0-9]+Mi$" $limit -}}
{{- div (mul (trimSuffix "Mi" $limit | int64) 60) 100 -}}
{{- else if regexMatch "^[0-9]+Gi$" $limit -}}
{{- div (mul (trimSuffix "Gi" $limit | int64) 1024 60) 100 -}}
{{- else -}}
{{- fail (printf "The memory limit %q has to be a whole number of Mi or Gi, such as 512Mi: the limit of Node's heap is computed from it" $limit) -}}
{{- end -}}
{{- end -}}

{{- define "subscription-sync.shutdownTimeoutS" -}}
{{- $settings := include "subscription-sync.merged" (dict "root" .root "of" .of "key" "settings") | fromJson -}}
{{- $timeoutMs := int64 (get $settings "SHUTDOWN_TIMEOUT_MS" | default 25000) -}}
{{- $delayMs := int64 (get $settings "SHUTDOWN_DELAY_MS" | default 1000) -}}
{{- if ge $delayMs $timeoutMs -}}
{{- fail (printf "SHUTDOWN_DELAY_MS (%d) has to be less than SHUTDOWN_TIMEOUT_MS (%d), which limits the whole shutdown" $delayMs $timeoutMs) -}}
{{- end -}}
{{- div (add $timeoutMs 999) 1000 -}}
{{- end -}}

{{/* Environment of a container. `of` has the values of its role, `transitions` those between statuses. */}}
{{- define "subscription-sync.env" -}}
{{- $settings := include "subscription-sync.merged" (dict "root" .root "of" .of "key" "settings") | fromJson -}}
{{- $secrets := include "subscription-sync.merged" (dict "root" .root "of" .of "key" "secrets") | fromJson -}}
{{- $files := include "subscription-sync.merged" (dict "root" .root "of" .of "key" "files") | fromJson -}}
{{- include "subscription-sync.checkNames" (dict "root" .root "settings" $settings "secrets" $secrets "files" $files) }}
{{- range $name, $_ := $secrets }}
{{- if or (hasKey $settings $name) (hasKey $settings (printf "%s_FILE" $name)) }}
{{- fail (printf "%s is in settings and in secrets: keep the one in secrets" $name) }}
{{- end }}
- { name: {{ $name }}_FILE, value: /etc/subscription-sync/{{ $name }} }
{{- end }}
{{- range $name, $_ := $files }}
{{- if hasKey $settings $name }}
{{- fail (printf "%s is in settings and in files: keep the one in files" $name) }}
{{- end }}
- { name: {{ $name }}, value: /etc/subscription-sync/{{ $name }} }
{{- end }}
{{- if .transitions }}
- { name: STATUS_TRANSITIONS_FILE, value: /etc/subscription-sync/STATUS_TRANSITIONS_FILE }
{{- end }}
{{- range $name, $value := $settings }}
- { name: {{ $name }}, value: {{ include "subscription-sync.text" $value | quote }} }
{{- end }}
- { name: NODE_OPTIONS, value: '--max-old-space-size={{ include "subscription-sync.heapMb" .of.resources.limits.memory }}' }
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volume of all secrets and files, whose names are those of their settings; empty if there are none. */}}
{{- define "subscription-sync.volume" -}}
{{- $secrets := include "subscription-sync.merged" (dict "root" .root "of" .of "key" "secrets") | fromJson -}}
{{- $files := include "subscription-sync.merged" (dict "root" .root "of" .of "key" "files") | fromJson -}}
{{- if or $secrets $files .transitions }}
- name: files
  projected:
    # 0440, as a decimal number, because tools of YAML 1.2 read 0440 as one. The group is fsGroup.
    defaultMode: 288
    sources:
{{- range $name, $from := $secrets }}
      - secret: { name: {{ $from.name }}, items: [{ key: {{ $from.key | quote }}, path: {{ $name }} }] }
{{- end }}
{{- range $name, $from := $files }}
{{- if eq (empty $from.secret) (empty $from.configMap) }}
{{- fail (printf "files.%s needs either a secret or a configMap" $name) }}
{{- end }}
      - {{ empty $from.secret | ternary "configMap" "secret" }}: { name: {{ $from.secret | default $from.configMap }}, items: [{ key: {{ $from.key | quote }}, path: {{ $name }} }] }
{{- end }}
{{- if .transitions }}
      - configMap: { name: {{ include "subscription-sync.fullname" .root }}-status-transitions, items: [{ key: transitions.json, path: STATUS_TRANSITIONS_FILE }] }
{{- end }}
{{- end }}
{{- end -}}

{{- define "subscription-sync.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "subscription-sync.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Fails for names that are no settings of the service, and for those that are in the wrong place or missing. */}}
{{- define "subscription-sync.checkNames" -}}
{{- $given := . -}}
{{- $names := .root.Files.Get "files/setting-names.yaml" | fromYaml -}}
{{- range $place := list "settings" "secrets" "files" -}}
{{- range $name, $_ := get $given $place -}}
{{- if not (has $name (get $names $place)) -}}
{{- if has $name (list "ROLES" "PORT" "NODE_OPTIONS") -}}{{- fail (printf "%s.%s is set by the chart: leave it out" $place $name) -}}{{- end -}}
{{- range $right := list "settings" "secrets" "files" -}}
{{- if has $name (get $names $right) -}}{{- fail (printf "%s.%s belongs in %s (values.yaml has an example)" $place $name $right) -}}{{- end -}}
{{- end -}}
{{- fail (printf "%s.%s is no setting of the service: docs/operating/reference.md lists all. Other variables belong in extraEnv" $place $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $database := list "DB1" "DB2" -}}
{{- $url := printf "%s_URL" $database -}}
{{- if not (or (hasKey $given.secrets $url) (and (hasKey $given.settings (printf "%s_HOST" $database)) (hasKey $given.settings (printf "%s_DATABASE" $database)))) -}}
{{- fail (printf "The address of Database %s is missing: set settings.%s_HOST and settings.%s_DATABASE, or secrets.%s" (trimPrefix "DB" $database) $database $database $url) -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $given.settings "KAFKA_SERVER") -}}{{- fail "The address of Kafka is missing: set settings.KAFKA_SERVER" -}}{{- end -}}
{{- end -}}

{{/* Fails for values of roles that have no Deployment in this mode, and for autoscalers that could not work. */}}
{{- define "subscription-sync.checkRoles" -}}
{{- $values := .Values -}}
{{- $single := eq .Values.mode "single" -}}
{{- range $role := $single | ternary (list "api" "sync" "replica") (list "single") -}}
{{- $of := get $values $role -}}
{{- range $key := list "settings" "secrets" "files" -}}
{{- if get $of $key -}}{{- fail (printf "%s.%s has no effect with mode: %s. Move it to %s, or change the mode" $role $key $values.mode ($single | ternary (printf "single.%s" $key) (printf "api.%s, sync.%s or replica.%s" $key $key $key))) -}}{{- end -}}
{{- end -}}
{{- if and $of.autoscaling $of.autoscaling.enabled -}}{{- fail (printf "%s.autoscaling has no effect with mode: single. Leave it out, or set mode: separate" $role) -}}{{- end -}}
{{- end -}}
{{- range $role := list "api" "replica" -}}
{{- $autoscaling := get (get $values $role) "autoscaling" -}}
{{- if and $autoscaling.enabled (gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.minReplicas (%d) is more than its maxReplicas (%d)" $role (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
