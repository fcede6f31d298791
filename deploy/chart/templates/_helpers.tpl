{{- define "kerf.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains "kerf" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-kerf" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kerf.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "kerf.name" .) -}}
{{- end -}}

{{- /* What is cluster-wide carries the namespace, so that two releases of one name do not meet. */ -}}
{{- define "kerf.clusterName" -}}
{{- printf "%s.%s" (include "kerf.name" .) .Release.Namespace -}}
{{- end -}}

{{- define "kerf.selector" -}}
app.kubernetes.io/name: kerf
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kerf.labels" -}}
{{ include "kerf.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kerf.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The ConfigMap of named device plugin configurations; empty: none. */ -}}
{{- define "kerf.configName" -}}
{{- if .Values.config.name -}}
{{- .Values.config.name -}}
{{- else if .Values.config.map -}}
{{- printf "%s-config" (include "kerf.name" .) -}}
{{- end -}}
{{- end -}}

{{- define "kerf.migConfigName" -}}
{{- if .Values.migConfig.name -}}
{{- .Values.migConfig.name -}}
{{- else if .Values.migConfig.data -}}
{{- printf "%s-mig-config" (include "kerf.name" .) -}}
{{- end -}}
{{- end -}}

{{- /* NVIDIA's operator and charts call them so; what is set up for those finds ours. */ -}}
{{- define "kerf.metricsService" -}}
{{- if .Values.metrics.compatible -}}
nvidia-dcgm-exporter
{{- else -}}
{{- printf "%s-metrics" (include "kerf.name" .) -}}
{{- end -}}
{{- end -}}

{{- define "kerf.metricsPortName" -}}
{{- if .Values.metrics.compatible -}}gpu-metrics{{- else -}}metrics{{- end -}}
{{- end -}}

{{- /* The ConfigMap with dcgm-exporter's counters file; empty: the default metrics. */ -}}
{{- define "kerf.countersName" -}}
{{- if .Values.metrics.counters.name -}}
{{- .Values.metrics.counters.name -}}
{{- else if .Values.metrics.counters.data -}}
{{- printf "%s-counters" (include "kerf.name" .) -}}
{{- end -}}
{{- end -}}

{{- define "kerf.webhookName" -}}
{{- printf "%s-webhook" (include "kerf.name" .) -}}
{{- end -}}

{{- define "kerf.webhookSelector" -}}
app.kubernetes.io/name: kerf-webhook
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kerf.webhookLabels" -}}
{{ include "kerf.webhookSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kerf.removeName" -}}
{{- printf "%s-remove" (include "kerf.name" .) -}}
{{- end -}}

{{- /* Not the agents' selector, or the hook's pod would be taken for one. */ -}}
{{- define "kerf.removeLabels" -}}
app.kubernetes.io/name: kerf-remove
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kerf.removeHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
