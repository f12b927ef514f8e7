{{/* The arguments of the server. What has the same default there is said all the same, so that `kubectl describe` shows it. */}}
{{- define "portcullis.args" -}}
- serve
- --listen={{ .Values.server.address }}:{{ .Values.server.port }}
- --certificate-secret={{ include "portcullis.secret" . }}
- --lease={{ include "portcullis.fullname" . }}
{{- if .Values.webhook.url }}
- --webhook-url={{ .Values.webhook.url }}
{{- else }}
- --service={{ include "portcullis.fullname" . }}
- --service-port={{ .Values.service.port }}
{{- end }}
- --webhook-timeout-seconds={{ .Values.webhook.timeoutSeconds }}
{{- range default (list .Release.Namespace) .Values.webhook.excludedNamespaces }}
- --exclude-namespace={{ . }}
{{- end }}
{{- if .Values.rbac.create }}
# `helm uninstall` deletes it, and the garbage collector the webhook configurations with it.
- --owner-cluster-role={{ include "portcullis.fullname" . }}
{{- end }}
{{- if .Values.audit.enabled }}
- --reports={{ .Values.audit.reports }}
{{- if .Values.audit.passes }}
- --report-passes
{{- end }}
{{- if .Values.audit.events }}
- --audit-events
{{- end }}
{{- if .Values.audit.images }}
- --audit-images
{{- end }}
{{- else }}
- --no-audit
{{- end }}
{{- if .Values.clients.configMap }}
- --client-ca=/etc/portcullis/clients/{{ .Values.clients.key }}
{{- range .Values.clients.names }}
- {{ printf "--client-name=%s" . | quote }}
{{- end }}
{{- end }}
{{- with .Values.registries }}
{{- if .credentialsSecret }}
- --registry-config=/etc/portcullis/registries/credentials/.dockerconfigjson
{{- end }}
{{- if .authorities.configMap }}
- --registry-ca=/etc/portcullis/registries/authorities/{{ .authorities.key }}
{{- end }}
{{- range .plainHttp }}
- {{ printf "--plain-http=%s" . | quote }}
{{- end }}
{{- range .anyAddress }}
- {{ printf "--any-address=%s" . | quote }}
{{- end }}
{{- if .refusePrivateAddresses }}
- --no-private-addresses
{{- end }}
{{- range .mirrors }}
- {{ printf "--registry-mirror=%s" . | quote }}
{{- end }}
{{- if and .mirrors .mirrorsOnly }}
- --mirrors-only
{{- end }}
{{- if .pullSecrets.enabled }}
- --pull-secrets
{{- end }}
{{- if .warm }}
- --warm-images
{{- end }}
{{- end }}
- --log={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
{{- if .Values.ledger.enabled }}
- --ledger={{ .Values.ledger.folder }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* A probe: its path and how often and long it is tried. */}}
{{- define "portcullis.probe" -}}
httpGet:
  path: {{ index . 0 }}
  port: https
  scheme: HTTPS
{{ toYaml (index . 1) }}
{{- end }}

{{/* The volumes of the Pod. */}}
{{- define "portcullis.volumes" -}}
{{- if .Values.clients.configMap }}
- name: clients
  configMap:
    name: {{ .Values.clients.configMap }}
{{- end }}
{{- with .Values.registries.credentialsSecret }}
- name: registry-credentials
  secret:
    secretName: {{ . }}
{{- end }}
{{- with .Values.registries.authorities.configMap }}
- name: registry-authorities
  configMap:
    name: {{ . }}
{{- end }}
{{- if .Values.ledger.enabled }}
- name: ledger
  {{- toYaml (default (dict "emptyDir" (dict "sizeLimit" "1Gi")) .Values.ledger.volume) | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where they are mounted. */}}
{{- define "portcullis.mounts" -}}
{{- if .Values.clients.configMap }}
- name: clients
  mountPath: /etc/portcullis/clients
  readOnly: true
{{- end }}
{{- if .Values.registries.credentialsSecret }}
- name: registry-credentials
  mountPath: /etc/portcullis/registries/credentials
  readOnly: true
{{- end }}
{{- if .Values.registries.authorities.configMap }}
- name: registry-authorities
  mountPath: /etc/portcullis/registries/authorities
  readOnly: true
{{- end }}
{{- if .Values.ledger.enabled }}
- name: ledger
  mountPath: {{ .Values.ledger.folder }}
  subPathExpr: $(POD_NAME)
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
