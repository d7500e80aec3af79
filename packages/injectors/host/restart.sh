# Starting a killed server again. Its supervisor or a configured command comes first: a server that is the main process
# of a systemd unit is started by that unit where we are root. Else the starter becomes it again, by a record made before
# the kill, which is removed once the server is back, for it holds its environment. Shell text.
#
# Kept are the exact arguments and environment, working directory, user and groups, capability bounding set and
# no_new_privs, umask, limits, scheduling, out-of-memory score, control groups, and the files that output goes to. Output
# to a pipe, socket or terminal goes to /dev/null, which is told. What else the kernel shows and a start by us would
# lose is refused before the kill.
# shellcheck shell=sh

# --- the server as it was ---

unset PERL5OPT PERL5LIB PERL5DB PERLLIB PERL_UNICODE PERLIO
starter='@embed starter.pl'

# Asks the starter whether it could start the process again, itself or by a command, and has it write that down for a
# fence where one is given. Sets problem, or notes to what would be lost.
rehearse() {
  problem="the host has no perl, which starts the server again as it was: install the package perl (perl-base on Debian and Ubuntu, perl-interpreter on Fedora), or name the unit of the server under kill.members"
  command -v perl >/dev/null || return 1
  problem="process $pid could not be looked at within 6 s"
  notes=$(perl -e "$starter" look "$pid" "$start" "$directory" "$@" 2>/dev/null) || return 1
  case $notes in
    ok) notes= ;;
    'ok; '*) notes=${notes#ok; } ;;
    'no '*) problem=${notes#no } && return 1 ;;
    *) return 1 ;;
  esac
}

# Sets unit to the systemd unit whose main process this is, where we may start it. Both are the kernel's and systemd's word.
supervising_unit() {
  unit=
  while read -r key _ us _; do [ "$key" = Uid: ] && break; done </proc/self/status
  [ "$us" = 0 ] && command -v systemctl >/dev/null || return 1
  while IFS= read -r row; do
    case $row in 0::*.service | *:name=systemd:*.service) unit=${row##*/} ;; esac
  done 2>/dev/null <"/proc/$pid/cgroup"
  case $unit in '' | -* | *[!A-Za-z0-9_@:.\\-]*) return 1 ;; esac
  [ "$(timeout 3 systemctl show --property=MainPID --value -- "$unit" </dev/null 2>/dev/null)" = "$pid" ]
}

# Whose process it is: a stranger that names the data directory is not the server.
owner_of() {
  whose=
  while read -r key whose _; do [ "$key" = Uid: ] && return 0; done 2>/dev/null <"/proc/$1/status"
  return 1
}

# Writes down how the server is started again: by a unit, by a command, or as it was.
recollect() {
  problem="the state directory cannot be written"
  owner_of "$pid" && printf '%s\n' "$whose" >"$fence/owner" || return 1
  how=$1
  if [ -n "$container" ] && [ "$how" = itself ]; then
    true >"$fence/lasting" && printf '%s\n' "$engine $container" >"$fence/engine" || return 1
    [ "$engine" != containerd ] || printf 'losses %s\n' "what it prints goes nowhere from now on (ctr tasks start --null-io)" >"$fence/notes"
    return
  fi
  [ "$how" != itself ] || ! supervising_unit || how=unit
  case $how in
    unit)
      unit=${2:-$unit}
      true >"$fence/lasting" && printf '%s\n' "$unit" >"$fence/unit"
      ;;
    command)
      true >"$fence/lasting" && printf '%s' "$2" >"$fence/command" || return 1
      rehearse command "$fence"
      kept=$?
      rm -f "$fence/command"
      return $kept
      ;;
    *) rehearse itself "$fence" ;;
  esac
}

# In the child: becomes the server, or starts its unit or container.
become_server() {
  if [ -e "$fence/engine" ]; then
    read -r engine container <"$fence/engine"
    if [ "$engine" = containerd ]; then
      start_task
      exit
    fi
    exec "$engine" start "$container"
  fi
  if [ -e "$fence/unit" ]; then
    read -r unit <"$fence/unit"
    exec systemctl start "$unit"
  fi
  exec perl -e "$starter" start "$fence"
}

# Asks containerd in the container's namespace.
ask_ctr() {
  timeout 6 ctr --connect-timeout 4s --namespace "${container%%/*}" "$@" </dev/null
}

# containerd keeps a task that ended, and starts another one once that is removed. It removes none that runs, and learns of
# an end a moment after it.
start_task() {
  for again in 1 2 3 4 5 6 7 8 9 10; do
    ask_ctr tasks delete "${container#*/}"
    ask_ctr tasks start --detach --null-io "${container#*/}" && return 0
    sleep 0.2
  done
  return 1
}

# Sets lost to what a start by us could not keep.
losses() {
  lost=
  while read -r key row; do [ "$key" = losses ] && lost=$row; done 2>/dev/null <"$fence/notes"
}

# The last words of a server that did not come up: of its start, or in its own log.
last_words() {
  said=$(tail_of "$fence/restart.log")
  [ -n "$said" ] || [ -e "$fence/unit" ] || [ -e "$fence/engine" ] || said=$(perl -e "$starter" last "$fence" 2>/dev/null)
  [ -n "$said" ] || said="it said nothing that is kept"
}

# --- who serves the data directory ---

# True for a program of ours, which names a data directory among its arguments too. A line end within an argument is no end
# of it.
ours() {
  [ "$1" = $$ ] && return 0
  # The files of a process that hides its memory are root's, whoever runs it; its status tells its user.
  user_of self && us=$user && user_of "$1" && [ "$user" = "$us" ] || return 1
  case $(head -c 4096 "/proc/$1/cmdline" 2>/dev/null | tr '\n\000' '?\n' | sed -n 4p) in inquorate | inquorate-keeper) return 0 ;; esac
  return 1
}

# Sets server and server_born to the process that runs the executable on the data directory.
find_server() {
  server= master= kept=
  unpack "$exe"
  # The file that has the name now, where an upgrade replaced the executable.
  [ -n "$container" ] || [ -e "$path_" ] || path_=${path_% (deleted)}
  [ -z "$container" ] || read -r kept 2>/dev/null <"$fence/place"
  read -r master 2>/dev/null <"$fence/owner"
  for task in /proc/[0-9]*; do
    task=${task#/proc/}
    place_of "$task" "$path_"
    [ "/proc/$task/exe" -ef "$place" ] || continue
    look "$task" || continue
    case $state in Z | X | x) continue ;; esac
    # A child of another such process stands and falls with it.
    [ "/proc/$parent/exe" -ef "$place" ] && [ "/proc/$parent/cwd" -ef "/proc/$task/cwd" ] && continue
    if [ -n "$container" ] && ! is_of_container "$task" "$container"; then
      [ -n "$kept" ] && [ "$(directory_key "$task" "$directory")" = "$kept" ] || continue
    fi
    place_of "$task" "$directory"
    case " $strangers " in *" $task.$born "*) [ "/proc/$task/cwd" -ef "$place" ] || continue ;; esac
    server=$task server_born=$born
    ! ours "$task" && owner_of "$task" && [ "$whose" = "${master:-$whose}" ] && serves "$task" "$directory" && return 0
    # A server opens its files a while after it began, so a young process may be the one yet.
    clock
    [ $((now - server_born * 10)) -lt 15000 ] || strangers="$strangers $task.$server_born"
  done
  return 1
}
