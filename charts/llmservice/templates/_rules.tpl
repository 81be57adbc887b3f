{{/* The operator's rules in the namespaces it watches. Applying (server-side) takes create and patch, deleting a child
that is no longer wanted takes delete, list and watch. Secrets: written once for an APIKey, never read or listed. */}}
{{- define "llmservice.operatorRules" -}}
- apiGroups: [llmservice.io]
  resources: [llmservices, apikeys, budgets]
  verbs: [list, watch]
- apiGroups: [llmservice.io]
  resources: [llmservices/status, apikeys/status]
  verbs: [patch]
# Owner references that block deletion, where OwnerReferencesPermissionEnforcement is on (OpenShift).
- apiGroups: [llmservice.io]
  resources: [llmservices/finalizers, apikeys/finalizers]
  verbs: [update]
- apiGroups: [ray.io]
  resources: [rayservices]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [ray.io]
  resources: [rayclusters] # KubeRay's; they alone tell why pods are refused
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services] # asked for before the first apply: two Services merge without a conflict
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses] # written in the release's namespace only
  verbs: [list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What is cluster-scoped, and so is not read in namespaced mode. */}}
{{- define "llmservice.operatorClusterRules" -}}
- apiGroups: [llmservice.io]
  resources: [gpupools]
  verbs: [list, watch]
- apiGroups: [llmservice.io]
  resources: [gpupools/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
# KubeRay that is installed later is noticed.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end }}

{{/* In the release's own namespace: Ingresses for LLMServices with a host of their own, and the leader's Lease. */}}
{{- define "llmservice.operatorOwnRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [llmservice-operator]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create] # which cannot be granted by name
{{- end }}

{{/* The gateway's agent watches two kinds, and writes two fields of status (when a request waits for a model that sleeps).
What it reads of an APIKey is a digest; digests made with another release's pepper open nothing here. */}}
{{- define "llmservice.gatewayRules" -}}
- apiGroups: [llmservice.io]
  resources: [llmservices, apikeys]
  verbs: [get, list, watch]
- apiGroups: [llmservice.io]
  resources: [llmservices/status]
  verbs: [patch]
{{- end }}

{{/* The ledger watches what prices and spends, asks whose tokens are, and says in the cluster what Budgets have used. No
Role can let it ask: in namespaced mode an administrator does (docs/operations/install.md). */}}
{{- define "llmservice.ledgerRules" -}}
- apiGroups: [llmservice.io]
  resources: [llmservices, apikeys, budgets]
  verbs: [get, list, watch]
- apiGroups: [llmservice.io]
  resources: [budgets/status]
  verbs: [patch]
{{- if not .Values.watchNamespaces }}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* A binding of one role to a component's ServiceAccount;
argument: (dict "root" $ "component" "gateway" "kind" "Role" "name" … "namespace" … or nothing). */}}
{{- define "llmservice.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "llmservice.labels" . | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .kind }}, name: "{{ .name }}"}
subjects:
  - {kind: ServiceAccount, name: {{ .component }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}

{{/* A role with its binding; argument: as of llmservice.binding, and "rules". */}}
{{- define "llmservice.boundRole" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "llmservice.labels" . | nindent 4 }}
rules: {{- .rules | nindent 2 }}
---
{{ include "llmservice.binding" . }}
{{- end }}

{{/* Namespaces that are served, separated by commas: those listed and the release's own; empty: all. */}}
{{- define "llmservice.namespaces" -}}
{{- if .Values.watchNamespaces -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | join "," -}}
{{- end -}}
{{- end }}

{{/* A component's rules, with their binding: for the whole cluster, or in each namespace that is served;
argument: (dict "root" $ "component" "gateway" "rules" … "clusterRules" … or nothing), the latter for the whole cluster only. */}}
{{- define "llmservice.granted" -}}
{{- $named := merge (dict "name" (include "llmservice.clusterName" .)) . }}
{{- with include "llmservice.namespaces" .root }}
{{- range splitList "," . }}
---
{{ include "llmservice.boundRole" (merge (dict "kind" "Role" "namespace" .) $named) }}
{{- end }}
{{- else }}
---
{{ include "llmservice.boundRole" (merge (dict "kind" "ClusterRole" "rules" (printf "%s%s" (default "" .clusterRules) .rules)) $named) }}
{{- end }}
{{- end }}
