# Who watches over a container by its health check and would act on its silence: what its engine knows of the check, and
# which containers here act on the checks of others. Takes the engine and the container's id. Only read, never changed; what
# the engine does not know is left out.
# shellcheck shell=sh

engine=$1 id=$2
LC_ALL=C
export LC_ALL
command -v "$engine" >/dev/null 2>&1 || exit 0

# Prints a word and one line of what the engine says of the container by this template.
say() {
  told=$(timeout 4 "$engine" inspect --type container --format "$2" -- "${3:-$id}" 2>/dev/null </dev/null | head -n 1 | head -c 20000)
  [ -z "$told" ] || printf '%s %s\n' "$1" "$told"
}

say check '{{json .Config.Healthcheck}}'
case $told in '' | null | '<no value>') exit 0 ;; esac
say labels '{{json .Config.Labels}}'
say restart '{{.HostConfig.RestartPolicy.Name}}'
say streak '{{.State.Health.FailingStreak}}'
say action '{{.Config.HealthcheckOnFailureAction}}'
# autoheal is a container that restarts others whose check fails: those with its label, or all.
timeout 4 "$engine" ps --no-trunc --format '{{.ID}} {{.Image}}' 2>/dev/null </dev/null | while read -r other image; do
  case $image in
    *autoheal*)
      label=autoheal
      timeout 4 "$engine" inspect --type container --format '{{range .Config.Env}}{{println .}}{{end}}' -- "$other" \
        2>/dev/null </dev/null | sed -n 's/^AUTOHEAL_CONTAINER_LABEL=//p' | head -n 1 | {
        read -r named && [ -n "$named" ] && label=$named
        printf '%s\n' "autoheal $label"
      }
      ;;
  esac
done
exit 0
