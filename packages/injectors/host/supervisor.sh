# Who watches over a process and would act on its silence: the systemd unit of its control group, where there is one and
# systemd answers. A watchdog ends a paused server during the hold; a restart rule brings a killed one back. Only told,
# never changed; what cannot be asked is not told. Shell text.
# shellcheck shell=sh

# --- who watches over a process ---

# Prints the unit and its settings. Of a unit's main process the kill stops and starts the unit itself, as root.
watchers() {
  command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] || return 0
  unit=
  while IFS= read -r row; do
    rest=${row#*:*:}/
    while [ -n "$rest" ]; do
      element=${rest%%/*} rest=${rest#*/}
      case $element in *.service | *.scope) unit=$element ;; esac
    done
  done 2>/dev/null <"/proc/$1/cgroup"
  [ -n "$unit" ] || return 0
  printf '%s\n' "$unit"
  timeout 3 systemctl show --property=WatchdogUSec,Restart,RestartUSec,MainPID -- "$unit" 2>/dev/null | while IFS= read -r row; do
    case $row in
      MainPID=*) [ "${row#*=}" != "$1" ] || [ "$effective" != 0 ] || echo Followed=yes ;;
      *) printf '%s\n' "$row" ;;
    esac
  done
}
