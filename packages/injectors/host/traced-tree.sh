# Stopping a process with all its descendants by tracing them, through the holder, and letting them go again: shell text
# for the keepers of the pause. What is traced runs on when its holder is gone, whoever of ours is left.
# shellcheck shell=sh

# --- a traced tree ---

unset PERL5OPT PERL5LIB PERL5DB PERLLIB PERL_UNICODE PERLIO
h1= hb=
holder='@embed tracer.pl'

# True unless one of the processes is traced; sets grade to Kernel where ptrace is sure to hold them all.
can_trace() {
  grade=Keeper
  word=
  command -v perl >/dev/null && word=$(printf '%s' "$holder" | perl - try "$1" 2>/dev/null)
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

# Starts the holder, which proves its right to trace on a child of its own and then stands by. Where it has none the
# fence is of keeper grade.
raise_holder() {
  command -v perl >/dev/null || return 0
  printf '%s' "$holder" >"$fence/inquorate-holder" || decline "the state directory cannot be written"
  setsid perl "$fence/inquorate-holder" stand "$fence" $$ "$pid" "$start" "$standby" </dev/null >/dev/null 2>&1 &
  h1=$!
  look "$h1" || { h1=; return 0; }
  hb=$born
  until [ -e "$fence/traces" ]; do
    alive "$h1" "$hb" || [ -e "$fence/traces" ] || { h1=; return 0; }
    clock
    [ "$now" -le "$standby" ] || decline "the holder was not ready in time: it was never applied"
    sleep 0.002
  done
  word=
  read -r word <"$fence/traces"
  case $word in
    Kernel)
      printf '%s %s .\n' "$h1" "$hb" >"$fence/holder" || decline "the state directory cannot be written"
      grade=Kernel
      ;;
    'traced '*)
      word=${word#traced }
      traced "${word% *}" "${word#* }"
      decline "$problem"
      ;;
    *) h1= ;;
  esac
}

# The holder has heard the go as well. Waits until every thread is traced, and checks that.
hold_tree() {
  clock
  limit=$((now + 5000))
  until [ -e "$fence/held" ]; do
    if [ -e "$fence/failed" ]; then
      text_of failed
      case $text in 'the order came late'*) decline_late ;; esac
      undo "$text"
    fi
    alive "$h1" "$hb" || [ -e "$fence/failed" ] || [ -e "$fence/held" ] || undo "the holder ended"
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

# Whoever of ours ends the holder records that first. A holder that is found dead without such a record was killed by
# somebody else, and nobody can say how long the fence held.
end_holder() {
  if alive "$h1" "$hb"; then
    true >"$fence/released"
    retire "$h1" "$hb"
  elif ! [ -e "$fence/released" ] && is_armed; then
    true >"$fence/broken"
  fi
}

free_traced() {
  free_by untrace is_traced "$1"
}

untrace() {
  end_holder
  recorded
  kin=$list
}

is_traced() {
  [ "$state" = t ] && { tracer_of "$1"; [ "$tracer" = "$h1" ]; }
}

# A fence of kernel grade whose holder and keepers are dead is over. Past its deadline that goes on record: the holder would
# have ended it then.
settle_orphan() {
  is_armed && holding && ! alive "$h1" "$hb" && deadlines || return
  keepers && { alive "$k1" "$b1" || alive "$k2" "$b2"; } && return
  clock
  [ "$now" -ge $((deadline + 150)) ] || return
  [ -e "$fence/released" ] || true >"$fence/broken"
  settle Kernel $((deadline + 150)) $((deadline_utc + 150))
}
