# Who watches over a process and would act on its silence: the systemd unit of its control group, where there is one and
# systemd answers. A watchdog ends a paused server during the hold; a restart rule brings a killed one back. Only told,
# never changed; what cannot be asked is not told, but for a unit of a user's own systemd. Shell text.
# shellcheck shell=sh

# --- who watches over a process ---

# Prints the unit and its settings. Of a unit's main process the kill stops and starts the unit itself, as root.
watchers() {
  command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] || return 0
  unit= user=
  while IFS= read -r row; do
    rest=${row#*:*:}/ owner=
    # Below its own systemd a user names the groups. The first is a unit of that one, and what lies deeper is nobody's word.
    case $rest in /user.slice/user-*.slice/user@*.service/*)
      owner=${rest#/user.slice/user-*.slice/user@} owner=${owner%%.service/*}
      rest=${rest#/user.slice/user-*.slice/user@*.service/} unit=user@$owner.service
      ;;
    esac
    while [ -n "$rest" ]; do
      element=${rest%%/*} rest=${rest#*/}
      case $element in *.service | *.scope)
        unit=$element user=$owner
        [ -z "$user" ] || break 2
        ;;
      esac
    done
  done 2>/dev/null <"/proc/$1/cgroup"
  [ -n "$unit" ] || return 0
  if [ -n "$user" ]; then
    # A scope neither watches nor starts anything again.
    case $unit in *.scope) return 0 ;; esac
    is_number "$user" || return 0
    printf '%s\nUser=%s\n' "$unit" "$user"
    of_user "$unit"
    return 0
  fi
  printf '%s\n' "$unit"
  timeout 3 systemctl show --property=WatchdogUSec,Restart,RestartUSec,MainPID -- "$unit" 2>/dev/null | while IFS= read -r row; do
    case $row in
      MainPID=*) [ "${row#*=}" != "$1" ] || [ "$effective" != 0 ] || echo Followed=yes ;;
      *) printf '%s\n' "$row" ;;
    esac
  done
}

# Prints the settings of a unit of a user's own systemd, or why they were not read. Its socket lies in a folder of that
# user, and whoever answers there may be anything that the user started. So it is asked with that user's rights and no
# others, and its answer is nothing but three settings.
of_user() {
  if [ "$effective" = "$user" ]; then
    set -- "$1"
  elif [ "$effective" != 0 ]; then
    echo "Unread=only root and that user may ask it"
    return 0
  elif command -v setpriv >/dev/null 2>&1; then
    # The group is nobody's: the user could have the rights of any other only by us.
    set -- "$1" setpriv --reuid "$user" --regid 65534 --clear-groups --inh-caps=-all --no-new-privs
  else
    echo "Unread=the host has no setpriv, by which root asks with that user's rights alone: install util-linux"
    return 0
  fi
  asked=$1
  shift
  # The clocks are ours, so that the user can stop neither: nobody waits for longer.
  told=$(timeout -s KILL 3 "$@" env -i PATH="$PATH" LC_ALL=C XDG_RUNTIME_DIR="/run/user/$user" systemctl --user show \
    --property=LoadState,WatchdogUSec,Restart,RestartUSec -- "$asked" 2>/dev/null </dev/null | timeout -s KILL 4 head -c 2000)
  case "
$told
" in
    *"
LoadState=loaded
"*) ;;
    *)
      echo "Unread=it does not say, asked as that user"
      return 0
      ;;
  esac
  printf '%s\n' "$told" | while IFS= read -r row; do
    case $row in WatchdogUSec=* | Restart=* | RestartUSec=*) printf '%s\n' "$row" ;; esac
  done
}
