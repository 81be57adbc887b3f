{{/* The six recommended labels; argument: (dict "root" $ "component" "gateway"). */}}
{{- define "llmservice.labels" -}}
{{ include "llmservice.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: llmservice
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What a component's pods are found by; never changes over a release's life. */}}
{{- define "llmservice.selector" -}}
app.kubernetes.io/name: llmservice
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Full reference of an image; argument: (dict "root" $ "image" .Values.gateway.image). */}}
{{- define "llmservice.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* Base of the public URLs, without a slash at the end; may be empty. */}}
{{- define "llmservice.publicURL" -}}
{{- if .Values.gateway.publicURL -}}
{{ .Values.gateway.publicURL }}
{{- else if and .Values.ingress.enabled .Values.ingress.host -}}
{{ ternary "https" "http" (ne .Values.ingress.tlsSecretName "") }}://{{ .Values.ingress.host }}
{{- end }}
{{- end }}

{{/* Pod fields that both Deployments take from their values; argument: .Values.gateway or .Values.operator. */}}
{{- define "llmservice.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod; fsGroup lets the user read the pepper. */}}
{{- define "llmservice.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* ... and of each container. */}}
{{- define "llmservice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The volume with the pepper, and where it is mounted. */}}
{{- define "llmservice.pepperVolume" -}}
- name: pepper
  secret: {secretName: llmservice-pepper, defaultMode: 0440}
{{- end }}
{{- define "llmservice.pepperMount" -}}
- {name: pepper, mountPath: /etc/llmservice/pepper, readOnly: true}
{{- end }}

{{/* Where workers and gateways find the ledger; empty: there is none, and nothing is metered. */}}
{{- define "llmservice.ledgerURL" -}}
{{- if .Values.ledger.enabled -}}
http://ledger.{{ .Release.Namespace }}.svc:8410
{{- end }}
{{- end }}

{{/* Name of what is cluster-scoped: one release a namespace; argument: (dict "root" $ "component" "gateway"). */}}
{{- define "llmservice.clusterName" -}}
llmservice:{{ .root.Release.Namespace }}:{{ .component }}
{{- end }}

{{/* Whether PrometheusRules are wanted and the cluster has the kind; empty means no. */}}
{{- define "llmservice.alerts" -}}
{{- if and .Values.alerts.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PrometheusRule") -}}
yes
{{- end }}
{{- end }}

{{/* Whether ServiceMonitors are wanted and the cluster has the kind; empty means no. */}}
{{- define "llmservice.monitors" -}}
{{- if and .Values.monitoring.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor") -}}
yes
{{- end }}
{{- end }}
