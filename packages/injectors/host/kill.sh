# The kill: takes a member's processes out by SIGKILL and keeps them out until the keepers start the server again, as it
# was, by a command or by its systemd unit. Back means: a process with the same executable serves the data directory and
# stays. There is never a second start while one may still come to life; a server that somebody else starts during the
# hold breaks the fence.
# shellcheck shell=sh

mechanism=kill
tools='tail timeout'
patience=8000
turn_patience=15000
stuck='the server could not be started again'

fits() {
  verdict=impossible
  [ -z "$container" ] || [ "$1" = unit ] || { fits_engine "$1"; return; }
  case $1 in
    unit)
      problem="the host has no systemctl to start the unit $2 with"
      command -v systemctl >/dev/null || return 1
      ;;
    *) { [ "$1" = itself ] && supervising_unit; } || rehearse "$1" || return 1 ;;
  esac
  verdict=ready problem=
}

# A container is started by its engine, which alone knows how.
fits_engine() {
  problem="a member in a container is started again by its engine, or by a unit, and by no command"
  [ "$1" = itself ] || return 1
  problem="the kubelet starts a pod's container again by itself, so a kill cannot keep it out: use pause or netfilter"
  [ "$engine" != cri ] || return 1
  if [ "$engine" = containerd ]; then fits_containerd; else fits_lasting; fi || return 1
  verdict=ready problem=
}

# What goes with its end could not be started again, and its data might go with it.
fits_lasting() {
  problem="the host has no $engine, which starts the container again"
  command -v "$engine" >/dev/null || return 1
  problem="its engine removes the container once it has ended (--rm), so a kill could not give it back: use pause or netfilter"
  [ "$(timeout 4 "$engine" inspect --type container --format '{{.HostConfig.AutoRemove}}' -- "$container" 2>/dev/null </dev/null)" != true ]
}

fits_containerd() {
  problem="the host has no ctr, by which containerd starts the container again: install the package containerd"
  command -v ctr >/dev/null || return 1
  told=$(ask_ctr containers info "${container#*/}" 2>&1)
  problem="containerd did not tell of the container $container: $(printf '%s' "$told" | tr -c ' -~' ' ' | tail -c 300)"
  case $told in '{'*'}') ;; *) return 1 ;; esac
  problem="containerd's restart monitor starts the container $container again by itself (its label containerd.io/restart.status), so a kill cannot keep it out: use pause or netfilter"
  # Within a string of JSON each of these quotes would have a backslash.
  told=$(printf '%s' "$told" | tr -d ' \t\n')
  case $told in *'"containerd.io/restart.status":"running"'*) return 1 ;; esac
  problem="the network of the container $container was made for this run of it alone, as by ctr run --cni, and is not there after a start by containerd: use pause or netfilter"
  case $told in *'{"type":"network"}'*) ! has_network "$pid" || return 1 ;; esac
  problem="ctr removes the container $container once it has ended (ctr run --rm), so a kill could not give it back: use pause or netfilter"
  ! is_removed_after "${container#*/}"
}

# True where a process has addresses beyond its loopback, or a way to any.
has_network() {
  { sed 1d "/proc/$1/net/route"; awk '$6 != "lo"' "/proc/$1/net/if_inet6"; } 2>/dev/null | grep -q .
}

# True where some ctr waits for the end of a container of this name, to remove it.
is_removed_after() {
  ctr=$(command -v ctr)
  for task in /proc/[0-9]*; do
    [ "$task/exe" -ef "$ctr" ] || continue
    case "$(head -c 65536 "$task/cmdline" 2>/dev/null | tr '\000\n' '  ') " in *' run'*' --rm'*" $1 "* | *' run'*' -rm'*" $1 "*) return 0 ;; esac
  done
  return 1
}

keep_settings() {
  problem="the order is malformed"
  case $1 in
    itself) recollect itself ;;
    command) [ -n "$2" ] && recollect command "$2" ;;
    unit)
      case $2 in '' | -*) return 1 ;; esac
      recollect unit "$2"
      ;;
    *) return 1 ;;
  esac
}

take_out() {
  halt_tree
  count_stopped
  true >"$fence/applying" || undo "the state directory cannot be written"
  if [ -e "$fence/engine" ]; then
    # Ended by its engine, a container is not started again by a restart policy.
    read -r engine container <"$fence/engine"
    end_container </dev/null >/dev/null 2>"$fence/restart.log" ||
      undo "$engine could not end the container: $(tail_of "$fence/restart.log")"
  fi
  slay 2000 || undo "not every process ended within 2 s of SIGKILL"
  if [ -e "$fence/unit" ]; then
    # A unit that restarts its service by itself is told not to.
    read -r unit <"$fence/unit"
    timeout 4 systemctl stop "$unit" </dev/null >/dev/null 2>&1 || undo "systemctl could not stop the unit $unit"
  fi
  find_server && undo "process $server serves the data directory again already"
  true
}

end_container() {
  case $engine in
    containerd) ask_ctr tasks kill --signal SIGKILL "${container#*/}" ;;
    *) timeout 6 "$engine" kill "$container" ;;
  esac
}

# Kills all on record and waits until they are gone, at most $1 ms.
slay() {
  recorded
  clock
  limit=$((now + $1))
  while :; do
    left=
    for token in $list; do
      alive "${token%:*}" "${token#*:}" && left=1 && kill -KILL "${token%:*}" 2>/dev/null
    done
    [ -n "$left" ] || return 0
    clock
    [ "$now" -le "$limit" ] || return 1
    sleep 0.002
  done
}

# PostgreSQL does not take over a data directory while its predecessor is there, and a dead process is there until its
# parent has collected it.
await_burial() {
  clock
  limit=$((now + 3000))
  while same "$pid" "$start"; do
    clock
    [ "$now" -le "$limit" ] || return 0
    sleep 0.005
  done
}

put_back() {
  problem="a killed process did not end"
  slay 2000 || return 1
  await_burial
  how="runs again as process"
  clock
  limit=$((now + 10000))
  if find_server; then
    # What an earlier turn started is ours, though the owner of that turn did not live to see it.
    how="was started by somebody else as process"
    for file in "$fence"/child.*."$server.$server_born"; do
      [ -e "$file" ] && how="runs again as process"
    done
  elif ! earlier_child; then
    start_child revive
  fi
  seen= child_over=
  while :; do
    clock
    if find_server; then
      [ "$seen" = "$server.$server_born" ] || seen=$server.$server_born seen_at=$now
      if [ $((now - seen_at)) -ge 100 ]; then
        losses
        outcome="${lost:+$lost; }$how $server"
        return 0
      fi
    else
      seen=
      # A command may have gone before its server shows itself.
      if ! alive "$child" "$child_born" && [ -z "$child_over" ]; then
        child_over=1
        grace=200
        [ -e "$fence/lasting" ] && grace=2000
        # Its engine is done once the container's first process has begun.
        [ -e "$fence/engine" ] && grace=10000
        [ "$limit" -lt $((now + grace)) ] || limit=$((now + grace))
      fi
    fi
    if [ "$now" -gt "$limit" ]; then
      last_words
      problem="no process of $path_ serves $directory: $said"
      return 1
    fi
    sleep 0.02
  done
}

# The child that becomes the server.
revive() {
  fence=$1 turn=$2
  still_counts || exit 0
  exec >"$fence/restart.log" 2>&1
  become_server
}

free_untaken() {
  free_stopped "$1"
}

watch() {
  [ -e "$fence/broken" ] && return 0
  looks_out && find_server || return 0
  note_broken
}

escaped() {
  find_server
}

forget() {
  rm -f "$fence/restart" "$fence/command" "$fence/engine"
}
