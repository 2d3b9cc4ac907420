{{/* The image of the operator and the DB manager. */}}
{{- define "pykatib.image" -}}
{{ .Values.images.katib.repository }}:{{ .Values.images.katib.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "pykatib.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where Pods may run; given the values of one part. */}}
{{- define "pykatib.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "pykatib.databaseSecret" -}}
{{ .Values.database.existingSecret | default "katib-db-manager" }}
{{- end }}

{{/* The password: the given one, else the one that is there, else one at random. */}}
{{- define "pykatib.password" -}}
{{- $there := lookup "v1" "Secret" .Release.Namespace "katib-db-manager" -}}
{{- if .Values.database.password -}}
{{ .Values.database.password }}
{{- else if and $there $there.data (hasKey $there.data "DB_PASSWORD") -}}
{{ index $there.data "DB_PASSWORD" | b64dec }}
{{- else if eq .Values.database.kind "external" -}}
{{ fail "database.password (or database.existingSecret) is needed for an external database" }}
{{- else -}}
{{ randAlphaNum 24 }}
{{- end -}}
{{- end }}
