{{- define "mysql-takeover.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* One name for every object and for the Lease. Cut at 52 so that suffixes stay within 63. */}}
{{- define "mysql-takeover.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "mysql-takeover.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Cluster-scoped objects carry the namespace too: two namespaced releases may share a name. */}}
{{- define "mysql-takeover.clusterName" -}}
{{- if .Values.watchNamespaces -}}
{{- printf "%s-%s" .Release.Namespace (include "mysql-takeover.fullname" .) -}}
{{- else -}}
{{- include "mysql-takeover.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "mysql-takeover.selectorLabels" -}}
app.kubernetes.io/name: {{ include "mysql-takeover.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "mysql-takeover.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "mysql-takeover.selectorLabels" . }}
app.kubernetes.io/part-of: mysql-takeover
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "mysql-takeover.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mysql-takeover.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must be set when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "mysql-takeover.image" -}}
{{- $image := .Values.image.repository -}}
{{- if .Values.image.registry -}}
{{- $image = printf "%s/%s" .Values.image.registry $image -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $image .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What the operator does in the namespaces it serves. One list for the ClusterRole and for each Role. */}}
{{- define "mysql-takeover.rules" -}}
- apiGroups: [mysql-takeover.io]
  resources: [mysqlclusters]
  # patch: the finalizer, while a takeover holds the cluster.
  verbs: [get, list, watch, patch]
- apiGroups: [mysql-takeover.io]
  resources: [mastertakeovers]
  # patch: the finalizer. delete: only finished ones whose ttlSecondsAfterFinished has passed.
  verbs: [get, list, watch, patch, delete]
- apiGroups: [mysql-takeover.io]
  resources: [mysqlclusters/status, mastertakeovers/status]
  verbs: [update]
- apiGroups: [mysql-takeover.io]
  # As the owner of Services, where the cluster enforces that right.
  resources: [mysqlclusters/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  # patch: the role label.
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
