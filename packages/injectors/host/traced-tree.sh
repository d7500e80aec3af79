# Stopping a process with all its descendants by tracing them, through the holder, and letting them go again: shell text
# for the keepers of the pause. What is traced runs on when its holder is gone, whoever of ours is left.
# shellcheck shell=sh

# --- a traced tree ---

unset PERL5OPT PERL5LIB PERL5DB
holder='@embed tracer.pl'

# True unless one of the processes is traced; sets grade to Kernel where ptrace is sure to hold them all.
can_trace() {
  grade=Keeper
  word=
  command -v perl >/dev/null && word=$(perl -e "$holder" try "$1" 2>/dev/null)
  case $word in
    Kernel) grade=Kernel ;;
    'traced '*)
      word=${word#traced }
      traced "${word% *}" "${word#* }"
      verdict=impossible
      return 1
      ;;
  esac
}

# Has every thread traced by a process of its own. Nothing is touched before that is on record.
hold_tree() {
  setsid perl -e "$holder" hold "$fence" $$ "$pid" "$start" </dev/null >/dev/null 2>&1 &
  h1=$!
  look "$h1" || decline "the holder did not start"
  printf '%s %s .\n' "$h1" "$born" >"$fence/holder" || undo "the state directory cannot be written"
  hb=$born
  limit=$((now + 2000))
  until [ -e "$fence/held" ]; do
    if [ -e "$fence/failed" ]; then text_of failed; undo "$text"; fi
    alive "$h1" "$hb" || [ -e "$fence/failed" ] || undo "the holder ended"
    clock
    [ "$now" -le "$limit" ] || undo "not every thread stopped within 1 s"
    sleep 0.001
  done
  # Its word is checked.
  recorded
  family $list
  for token in $kin; do
    same "${token%:*}" "${token#*:}" || continue
    halted "${token%:*}" || undo "process ${token%:*} was not stopped"
  done
  stopped=$kin
}

# Who ends the holder says so first: one that is found dead without that was killed by somebody else, and nobody can say
# how long the fence held.
end_holder() {
  if alive "$h1" "$hb"; then
    true >"$fence/released"
    retire "$h1" "$hb"
  elif ! [ -e "$fence/released" ] && is_armed; then
    true >"$fence/broken"
  fi
}

# Ends the holder, looks, and does it again until nothing is held by it; gives up after $1 turns.
free_traced() {
  turns=$1
  while :; do
    end_holder
    recorded
    held=
    for token in $list; do
      same "${token%:*}" "${token#*:}" && [ "$state" = t ] || continue
      tracer_of "${token%:*}"
      [ "$tracer" = "$h1" ] && held=1
    done
    [ -z "$held" ] && return 0
    turns=$((turns - 1))
    [ "$turns" -gt 0 ] || return 1
    sleep 0.02
  done
}

# A fence of kernel grade whose holder and keepers are dead is over; past its deadline that goes on record. It ended no
# later than the holder would have ended it.
settle_orphan() {
  is_armed && holding && ! alive "$h1" "$hb" && deadlines || return
  keepers && { alive "$k1" "$b1" || alive "$k2" "$b2"; } && return
  clock
  [ "$now" -ge $((deadline + 150)) ] || return
  [ -e "$fence/released" ] || true >"$fence/broken"
  settle Kernel $((deadline + 150)) $((deadline_utc + 150))
}
