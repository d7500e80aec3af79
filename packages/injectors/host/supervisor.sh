# Who watches over a process and would act on its silence: the systemd unit of its control group, where there is one and
# systemd answers. A watchdog ends a paused server during the hold; a restart rule brings a killed one back. Only told,
# never changed; what cannot be asked is not told.
# shellcheck shell=sh

pid=$1
command -v systemctl >/dev/null 2>&1 || exit 0
[ -d /run/systemd/system ] || exit 0
unit=
while IFS= read -r line; do
  path=${line#*:*:}
  case $path in
    */*.service | */*.scope | */*.service/* | */*.scope/*) ;;
    *) continue ;;
  esac
  found=$(printf '%s\n' "$path" | tr '/' '\n' | grep -E '\.(service|scope)$' | tail -n 1)
  [ -n "$found" ] && unit=$found
done <"/proc/$pid/cgroup"
[ -n "$unit" ] || exit 0
printf '%s\n' "$unit"
systemctl show --property=WatchdogUSec,Restart,RestartUSec -- "$unit" 2>/dev/null
# Of its main process the kill stops and starts the unit itself, as root.
[ "$(id -u)" = 0 ] && [ "$(systemctl show --property=MainPID --value -- "$unit" 2>/dev/null)" = "$pid" ] && echo Followed=yes
exit 0
