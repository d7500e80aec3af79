# The pause: stops a member's processes through two keepers on its host, by ptrace or by SIGSTOP, and lets them go.
# The worker only sends orders; what it knows of a fence is the host's own record.
# shellcheck shell=sh

mechanism=pause
patience=1000
stuck='the processes could not be continued'

only_kernel='here only the kernel may end a fence, and it does not let us trace the process (CAP_SYS_PTRACE and perl are needed)'

# $1 is the grade that is wished for, or Only where a fence of any but kernel grade may not stand. $2 is `proven` where kernel
# grade was proven for this process a moment ago. The holder proves it once more, before its fence stands ready.
fits() {
  case $1/$2 in
    Keeper/*) ;;
    */proven) grade=Kernel ;;
    *) can_trace "$pid" || return 1 ;;
  esac
  [ "$1" != Only ] || [ "$grade" = Kernel ] || { verdict=impossible problem=$only_kernel; return 1; }
}

keep_settings() {
  case $1 in
    Keeper) true >"$fence/untraced" ;;
    Only) true >"$fence/kernel-only" ;;
  esac
}

# A pair of keepers for one fence alone, which stops and continues by signals.
stand_ready() {
  ! [ -e "$fence/kernel-only" ] || decline "$only_kernel"
}

take_out() {
  halt_tree
  count_stopped
}

# Another process that serves the data directory while the fence stands breaks it, and the record names that process.
note_successor() {
  [ -e "$fence/broken" ] || [ -e "$fence/lifted" ] || ! is_armed && return 0
  replaced "$pid" "$start" "$exe" "$directory" || return 0
  note broken "process $successor serves its data directory now: whoever watches over it started it again behind the fence"
}

# A fence with a holder that it does not share is one of an earlier version.
free() {
  # It may be that nobody of ours has looked since.
  note_successor
  if holding; then free_traced "$1"; else free_stopped "$1"; fi
}

# True where a process that ought to be stopped is not. One that was killed runs for a moment, to its end.
astray() {
  looks=5
  while same "${1%:*}" "${1#*:}"; do
    case $state in [TtZXx]) return 1 ;; esac
    looks=$((looks - 1))
    [ "$looks" -gt 0 ] || return 0
    sleep 0.02
  done
  return 1
}

# A server that its supervisor ended and started again takes part, whatever else of it still stands.
watch() {
  [ -e "$fence/broken" ] && return 0
  strayed=
  for token in $list; do
    astray "$token" && strayed=1
  done
  # A lift says so before it lets anything go.
  [ -e "$fence/dismissed" ] || [ -e "$fence/released" ] || [ -e "$fence/lifted" ] && return 0
  note_successor
  [ -z "$strayed" ] || [ -e "$fence/broken" ] || true >"$fence/broken"
}

escaped() {
  for token in $list; do
    same "${token%:*}" "${token#*:}" && case $state in [TtZXx]) ;; *) return 0 ;; esac
  done
  replaced "$pid" "$start" "$exe" "$directory"
}

last_word() {
  if holding; then end_holder; else release; fi
}
