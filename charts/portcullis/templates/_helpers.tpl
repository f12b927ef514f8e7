{{/* The name of the chart, as labels have it. */}}
{{- define "portcullis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What everything is called. 52 characters leave room for the longest ending and a Pod's own. */}}
{{- define "portcullis.fullname" -}}
{{- $name := include "portcullis.name" . }}
{{- if .Values.fullnameOverride }}{{ $name = .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}{{ $name = .Release.Name }}
{{- else }}{{ $name = printf "%s-%s" .Release.Name $name }}
{{- end }}
{{- $name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* What the Pods of the server are found by. It can't be changed on a Deployment that exists. */}}
{{- define "portcullis.selector" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* All labels of an object: those of `labels`, of the object itself, and ours, which win. */}}
{{- define "portcullis.labels" -}}
{{- $ours := include "portcullis.selector" .root | fromYaml }}
{{- $_ := set $ours "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $ours "app.kubernetes.io/part-of" "portcullis" }}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- mergeOverwrite (dict) .root.Values.labels (default dict .labels) $ours | toYaml }}
{{- end }}

{{/* Labels and annotations of an object: `root` is the context, `labels` and `annotations` are the object's own. */}}
{{- define "portcullis.about" -}}
labels:
  {{- include "portcullis.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.annotations (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "portcullis.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "portcullis.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "portcullis.secret" -}}
{{- default (printf "%s-tls" (include "portcullis.fullname" .)) .Values.certificate.secretName }}
{{- end }}

{{/* The Secret is somebody else's: it is read and never written. */}}
{{- define "portcullis.isForeignSecret" -}}
{{- if or .Values.certificate.existing .Values.certManager.enabled }}true{{ end }}
{{- end }}

{{- define "portcullis.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ printf "%s@%s" .repository .digest }}
{{- else }}{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The names by which the API server and others reach the Service. */}}
{{- define "portcullis.host" -}}
{{ include "portcullis.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "portcullis.subject" -}}
kind: ServiceAccount
name: {{ include "portcullis.serviceAccount" . }}
namespace: {{ .Release.Namespace }}
{{- end }}
