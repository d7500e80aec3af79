# Stopping a process with all its descendants, checked thread by thread, and letting them go again: shell text for the
# keepers of those mechanisms that stop before they do anything else. What is stopped is on record before it is.
# shellcheck shell=sh

# --- a stopped tree ---

# Continues all that the fence stopped. The main process goes last: while it is stopped the list of its children is whole.
release() {
  recorded
  roots=
  for token in $list; do
    same "${token%:*}" "${token#*:}" && roots="$roots $token"
  done
  family $roots
  first=
  for token in $kin; do
    if [ -z "$first" ]; then first=$token; else kill -CONT "${token%:*}" 2>/dev/null; fi
  done
  [ -z "$first" ] || kill -CONT "${first%:*}" 2>/dev/null
}

# Lets go by $1, looks by $2 whether any of kin is held still, and does it again until none is; gives up after $3 turns.
free_by() {
  turns=$3
  while :; do
    "$1"
    held=
    for token in $kin; do
      same "${token%:*}" "${token#*:}" && "$2" "${token%:*}" && held=1
    done
    [ -z "$held" ] && return 0
    turns=$((turns - 1))
    [ "$turns" -gt 0 ] || return 1
    sleep 0.02
  done
}

free_stopped() {
  free_by release is_stopped "$1"
}

is_stopped() {
  [ "$state" = T ]
}

stop() {
  printf '%s %s\n' "${1%:*}" "${1#*:}" >>"$fence/processes" || return 1
  kill -STOP "${1%:*}" 2>/dev/null
  stopped="$stopped $1"
}

# A parent in vfork cannot stop before its child has called exec, and the child cannot call it while it is stopped. So the
# child runs for a moment.
nudge() {
  children "$1"
  nudged=
  for kid in $kids; do
    look "$kid" && [ "$state" = T ] && kill -CONT "$kid" 2>/dev/null && nudged="$nudged $kid:$born"
  done
  [ -n "$nudged" ] || return 0
  sleep 0.001
  for kid in $nudged; do
    same "${kid%:*}" "${kid#*:}" && kill -STOP "${kid%:*}" 2>/dev/null
  done
}

# Stops the process and all its descendants. Ends with decline while nothing is stopped, with undo after that.
halt_tree() {
  kill -STOP "$pid" 2>/dev/null || decline "process $pid could not be signalled"
  stopped=$pid:$start
  clock
  limit=$((now + 1000))
  while :; do
    # Looked at before the children are listed: what is stopped cannot fork, so a list made after that is whole.
    quiet=1
    for token in $stopped; do
      halted "${token%:*}" && continue
      quiet=
      case $line in D' '*) nudge "${token%:*}" ;; esac
    done
    family $stopped
    for token in $kin; do
      case " $stopped " in *" $token "*) continue ;; esac
      quiet=
      stop "$token" || undo "the state directory cannot be written"
    done
    [ -n "$quiet" ] && break
    clock
    [ "$now" -le "$limit" ] || undo "not every thread stopped within 1 s"
    sleep 0.001
  done
}

# Sets count to how many of them live; without the process itself nothing was taken out.
count_stopped() {
  alive "$pid" "$start" || undo "process $pid ended"
  count=0
  for token in $stopped; do
    alive "${token%:*}" "${token#*:}" && count=$((count + 1))
  done
}
