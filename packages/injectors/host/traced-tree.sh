# What a fence is whose processes are traced by a holder: shell text for the pause. What is traced runs on when its holder is
# gone, whoever of ours is left.
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

# Whoever of ours ends the holder records that first, and a holder that ends because it was told to let go records that. One
# that is found dead without such a record was killed by somebody else, and nobody can say how long the fence held.
end_holder() {
  if alive "$h1" "$hb"; then
    true >"$fence/released"
    retire "$h1" "$hb"
  elif ! [ -e "$fence/released" ] && ! [ -e "$fence/loosed" ] && ! [ -e "$fence/broken" ] && is_armed; then
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
