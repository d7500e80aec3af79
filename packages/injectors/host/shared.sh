# One pair of keepers and one holder for all fences of kernel grade that an operation prepares on a host at once: shell text
# for the pause. A fence's records, its epochs, its deadlines and its end stay its own; what is shared is who keeps it.
#
# - Whoever shares sends no signal to what is held, but to the holder alone. So a fence is over once its end is on record and
#   the holder has let go of it for good (`loosed`) or is dead; its keepers may live on for the others.
# - To let go of one fence is to ask the holder (`released`, then SIGUSR1). Where nothing else is held by it any more, where
#   it is frozen, or does not do it within a second, it is killed: the kernel then lets go of all, and those fences that
#   should have stood on count as broken.
# - Each turn of a keeper begins with what is on record, so either goes on from where the other was killed.
# - What the kernel does not let the holder trace gets a pair of its own (`apart`), which keeps it by SIGSTOP.
#
# In the operation's folder stands `shared.<attempt>.<n>`, and in it `members` (of each its fence, process and start time),
# `program`, `keepers`, `holder`, `first` and `ready` (made by either keeper once it stands), `wake` (a pipe),
# `inquorate-holder`, and `go.<n>`: the fences that have their go, in one line, so that all are bitten at once. In a fence's
# folder: `called`, `shared` (who keeps it), `apart`, `loosed`, `bitten` (when its go was heard, its first thread seized, its
# last one seen stopped, and one last seen waiting in the kernel, 0 where none was, in microseconds of the monotonic clock).
# shellcheck shell=sh

# --- who shares ---

# Sets shared to the folder of those who keep this fence together with others.
sharing() {
  name_= end=
  read -r name_ end 2>/dev/null <"$fence/shared"
  [ "$end" = . ] || return 1
  case $name_ in shared.*.*) number_=${name_#shared.} ;; *) return 1 ;; esac
  is_number "${number_%%.*}" && is_number "${number_#*.}" || return 1
  shared=${fence%/*}/$name_
}

# Opens the fence of a member among those that share.
turn_to() {
  fence=${shared##*/shared.}
  fence=${shared%/*}/${fence%.*}.$1
}

# True where those of the folder shared keep the fence that is open.
is_shared() {
  name_= end=
  read -r name_ end 2>/dev/null <"$fence/shared"
  [ "$name_ $end" = "${shared##*/} ." ]
}

# True where the fence that is open may share its keepers.
joins() {
  ! [ -e "$fence/untraced" ] && command -v perl >/dev/null
}

# Sets waiting to those of these fences of an attempt that wait for keepers.
list_waiting() {
  waiting=
  for member; do
    fence=$operation/$attempt.$member
    [ -e "$fence/called" ] && ! [ -e "$fence/keepers" ] && ! [ -e "$fence/refused" ] && ! [ -e "$fence/dismissed" ] || continue
    waiting="$waiting $member"
  done
}

# Starts one pair of keepers for those of these fences of an attempt that wait for one. Takes members.
stand_up() {
  list_waiting "$@"
  [ -n "$waiting" ] || return 0
  names=
  set --
  for each in $waiting; do
    fence=$operation/$attempt.$each
    read -r called <"$fence/called"
    facts_of_order
    names="$names,$called"
    set -- "$@" "$directory"
  done
  found "$@" && introduce || refuse_waiting
}

# Starts the pair while its fences are made ready. They may all be refused yet, so nothing of it is on record.
stand_ahead() {
  operation=$state_root/$records/$1 attempt=$2 shared= waiting= names= place_=0 count=$#
  [ "${12}" != Keeper ] && command -v perl >/dev/null && is_looked_through "$1" && is_number "$2" && [ -d "$operation" ] || return
  for word; do
    case $((place_ % size)) in
      2) waiting="$waiting $word" ;;
      7) set -- "$@" "$word" ;;
      10) names="$names,$word" ;;
    esac
    place_=$((place_ + 1))
  done
  shift "$count"
  found "$@" || shared=
}

# Those who stand ahead of fences that were refused leave.
hand_over() {
  [ -n "$shared" ] || return
  hoped_for=$waiting
  list_waiting $hoped_for
  [ "$waiting" = "$hoped_for" ] || return
  introduce || refuse_waiting
}

refuse_waiting() {
  for each in $waiting; do
    fence=$operation/$attempt.$each
    note refused "$problem"
  done
}

# Starts two keepers and a holder in a folder of their own. They wait until this shell has introduced them, and leave where
# it does not. Takes the data directories and sets shared.
found() {
  problem="the state directory cannot be written"
  turn=1
  until mkdir "$operation/shared.$attempt.$turn" 2>/dev/null; do
    turn=$((turn + 1))
    [ "$turn" -lt 1000 ] || return 1
  done
  shared=$operation/shared.$attempt.$turn fence=$shared input=/proc/self/fd/5
  mkfifo "$shared/wake" >/dev/null 2>&1 8>&- 9>&- &
  pipe=$!
  called=${names#,}
  [ ${#called} -le 200 ] || called=$(printf '%.200s' "$called")
  write_program && printf '%s' "$holder" >"$shared/inquorate-holder" || return 1
  perl "$shared/inquorate-holder" stand "$shared" <&5 >/dev/null 2>&1 5<&- 9>&- &
  h1=$!
  launch keep 1 "$@"
  k1=$!
  launch keep 2 "$@"
  k2=$!
}

# Puts on record who keeps those that wait.
introduce() {
  wait "$pipe" || return 1
  problem="the keepers did not start"
  # A holder that has ended already is on record as one that is dead.
  look "$h1" || born=0
  hb=$born
  look "$k1" && b1=$born && look "$k2" && b2=$born || return 1
  problem="the state directory cannot be written"
  for each in $waiting; do
    fence=$operation/$attempt.$each
    facts_of_order
    standing_by || return 1
    printf '%s .\n' "${shared##*/}" >"$fence/shared" &&
      printf '%s\n' "$each $pid $start $standby" >>"$shared/members" || return 1
  done
  # That of the shared folder comes last: from then on each of the fences has it.
  printf '%s %s .\n' "$h1" "$hb" >"$shared/holder" || return 1
  for each in $waiting shared; do
    fence=$operation/$attempt.$each
    [ "$each" != shared ] || fence=$shared
    printf '%s %s %s %s .\n' "$k1" "$b1" "$k2" "$b2" >"$fence/keepers" || return 1
  done
}

# A fence that the holder may not trace leaves those who share, and gets a pair of its own.
stand_alone() {
  read -r called <"$fence/called"
  rm -f "$fence/shared" "$fence/keepers"
  raise_pair
}

# Tells the holders which of these fences have their go, of each in one line that is made once. They wake the keepers.
sound() {
  left_=$*
  while [ -n "$left_" ]; do
    together= later= of_=
    for member in $left_; do
      fence=$operation/$attempt.$member
      if ! sharing; then
        wake
      elif [ "${of_:=$shared}" = "$shared" ]; then
        together="$together $member"
      else
        later="$later $member"
      fi
    done
    left_=$later
    [ -n "$together" ] || continue
    set -C
    turn=1
    until printf '%s .\n' "${together# }" 2>/dev/null >"$of_/go.$turn"; do
      [ -e "$of_/go.$turn" ] || break
      turn=$((turn + 1))
    done
    set +C
  done
}

# --- letting go ---

# True where the holder can hold nothing of this fence, now or later.
is_loosed() {
  [ -e "$fence/loosed" ] || ! holding || ! alive "$h1" "$hb"
}

# True where none of the other fences of this holder is to stand on.
is_last() {
  mine=$fence last=1
  while read -r other _; do
    turn_to "$other"
    [ "$fence" = "$mine" ] || ! is_shared || is_ending || { last=; break; }
  done <"$shared/members"
  fence=$mine
  [ -n "$last" ]
}

is_ending() {
  for file in lifted refused dismissed released undone; do
    [ -e "$fence/$file" ] && return 0
  done
  deadlines && clock && [ "$now" -ge "$deadline" ]
}

# Says of every fence of the holder that it is ours who end it, and ends it.
end_shared_holder() {
  mine=$fence
  while read -r other _; do
    turn_to "$other"
    is_shared && is_ending && true >"$fence/released"
  done <"$shared/members"
  fence=$mine
  same "$h1" "$hb" && kill -KILL "$h1" 2>/dev/null
  tell_time
  retire "$h1" "$hb"
}

# Whoever lifts a fence records next when it was off. The program that tells the time runs while the holder lets go or ends.
tell_time() {
  [ -n "$me" ] || return
  utc
  clock
  ahead=$((utc - now))
}

# Lets go of this fence, and leaves the others held.
free_shared() {
  # It may be that nobody of ours has looked since.
  note_successor
  holding || return 0
  if ! alive "$h1" "$hb"; then
    # Found dead, it was killed by somebody else, unless one of us said so before.
    [ -e "$fence/released" ] || [ -e "$fence/loosed" ] || [ -e "$fence/broken" ] || ! is_armed || true >"$fence/broken"
    return 0
  fi
  true >"$fence/released"
  if ! [ -e "$fence/loosed" ] && is_last; then
    end_shared_holder
    return
  fi
  clock
  limit_=$((now + 1000)) spins=0
  until is_loosed; do
    [ $((spins % 20)) != 0 ] || kill -USR1 "$h1" 2>/dev/null
    [ "$spins" != 0 ] || tell_time
    clock
    look "$h1" && case $state in T | t) now=$((limit_ + 1)) ;; esac
    if [ "$now" -gt "$limit_" ]; then
      end_shared_holder || return 1
      break
    fi
    spins=$((spins + 1))
    [ $((spins % 20)) != 0 ] || sleep 0.002
  done
  recorded
  for token in $list; do
    same "${token%:*}" "${token#*:}" && is_traced "${token%:*}" && { end_shared_holder; return; }
  done
  return 0
}

# Ends a fence whose keepers may live on for others.
take_off_shared() {
  me=
  if ! [ -e "$fence/lifted" ] && claim; then
    # From here on the holder does not begin with it.
    true >"$fence/dismissed"
    ahead=
    free_shared || return 1
    clock
    if [ -n "$ahead" ]; then settle "$1" "$now" $((now + ahead)); else settle "$1"; fi || return 1
  fi
  [ -z "$me" ] || true >"$fence/done.$me"
  lifters
  for file in $rivals; do
    retire "${file%.*}" "${file#*.}" || return 1
  done
  is_loosed || free_shared || return 1
  disband
}

# Once the last of the fences is over, nobody of ours stays.
disband() {
  mine=$fence over=1
  while read -r other _; do
    turn_to "$other"
    is_shared || continue
    [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] && is_loosed || { over=; break; }
  done <"$shared/members"
  fence=$mine
  [ -n "$over" ] || return 0
  rm -f "$shared/program" "$shared/inquorate-holder" "$shared/wake" >/dev/null 2>&1 &
  keepers && { retire "$k1" "$b1" || return 1; retire "$k2" "$b2" || return 1; }
  ! holding || retire "$h1" "$hb"
}

# --- the keepers ---

# One turn after the other goes through all fences, until the last is over.
keep_shared() {
  role=$1 shared=$fence operation=${fence%/*} ending= kept= everyone=
  cd /
  trap '' HUP INT QUIT
  trap 'ending=1' TERM
  trap collapse_shared EXIT
  echo -1000 2>/dev/null >/proc/self/oom_score_adj
  if [ "$role" = 1 ]; then
    utc
    clock
    ahead=$((utc - now))
  fi
  # The input ends once it is on record who is kept, or is not going to be.
  read -r _
  exec </dev/null
  keepers || leave_shared
  while read -r each _; do kept="$kept $each"; done <"$shared/members"
  everyone=$kept
  clock
  limit=$((now + 10000))
  if [ "$role" = 2 ]; then true >"$shared/ready"; else stand_ready_shared; fi
  while :; do
    soonest=200 idle=1 left_=
    for each in $kept; do
      turn_to "$each"
      if tend; then left_="$left_ $each"; fi
    done
    kept=$left_
    [ -n "$kept" ] || leave_shared
    if [ -n "$idle" ]; then timeout "$seconds" head -n 1 <&7 >/dev/null 2>&1; else nap "$soonest"; fi
  done
}

# Of all fences the one that wants to be looked at soonest counts.
hurry() {
  [ "$soonest" -le "$1" ] || soonest=$1
}

stand_ready_shared() {
  exec 7<>"$shared/wake" && true >"$shared/first" || { call_all_off "the state directory cannot be written"; return; }
}

# The holder has not said that this fence stands ready: looks whether it may not trace the process or has died, and whether
# the second keeper is missing.
await_holder() {
  lives= word= mine=$fence
  fence=$shared
  holding && alive "$h1" "$hb" && lives=1
  fence=$mine
  read -r word 2>/dev/null <"$fence/traces"
  case $word in
    'traced '*)
      word=${word#traced }
      traced "${word% *}" "${word#* }"
      call_off "$problem"
      ;;
    Keeper) stay_behind ;;
    *)
      if [ -z "$lives" ]; then
        [ -e "$fence/prepared" ] || stay_behind
      elif ! [ -e "$shared/ready" ] && [ "$now" -gt "$limit" ]; then
        call_off "the second keeper did not start"
      fi
      ;;
  esac
}

# There is no holder for this fence.
stay_behind() {
  rm -f "$fence/holder"
  if [ -e "$fence/kernel-only" ]; then call_off "$only_kernel"; else true >"$fence/apart"; fi
}

# Ends an order before anything was stopped.
call_off() {
  note refused "$1"
  ! holding || ! alive "$h1" "$hb" || kill -USR1 "$h1" 2>/dev/null
}

call_all_off() {
  for each in $kept; do
    turn_to "$each"
    call_off "$1"
  done
}

# Puts on record that it was applied and did not hold, once it is free.
undo_shared() {
  hurry 100
  free_shared || return
  note undone "$1"
  settle Keeper
  hurry 1
}

# Does for one fence what its record asks for. False once it needs nobody any more.
tend() {
  is_shared && ! [ -e "$fence/apart" ] || return 1
  if [ -e "$fence/lifted" ] || [ -e "$fence/refused" ]; then
    is_loosed && return 1
    idle=
    hurry 5
    free_shared
    return 0
  fi
  facts_of_order
  list=$pid:$start
  holding
  standing_by
  clock
  if is_armed; then
    tend_armed
  elif [ "$role" = 2 ]; then
    tend_second
  elif go_given; then
    idle=
    hurry 1
    take_out_shared
  else
    await_go_shared
  fi
  return 0
}

tend_armed() {
  idle=
  deadlines
  left=$((deadline - now))
  if [ "$left" -gt 0 ] && [ -z "$ending" ]; then
    recorded
    watch
    hurry "$left"
  elif free_shared && settle Keeper; then
    hurry 1
  else
    hurry 100
  fi
}

await_go_shared() {
  problem=
  [ "$now" -le "$standby" ] || problem="no go came in time: it was never applied"
  [ -z "$ending" ] || problem="it was ended before it was applied"
  ! [ -e "$fence/dismissed" ] || problem="it was lifted before it was applied"
  if [ -n "$problem" ]; then
    call_off "$problem"
    idle=
    hurry 1
  elif ! [ -e "$fence/prepared" ]; then
    await_holder
    seconds=1
  else
    seconds=$(((standby - now) / 1000 + 1))
    hurry 20
  fi
}

# The second keeper waits until the first has recorded what became of the order.
tend_second() {
  idle=
  hurry 100
  [ "$now" -gt $((standby + patience + 10000)) ] || ! alive "$k1" "$b1" || return
  retire "$k1" "$b1"
  is_armed || [ -e "$fence/refused" ] || [ -e "$fence/lifted" ] && return
  if [ -e "$fence/go" ]; then
    undo_shared "the keeper that applied it died"
  else
    call_off "its keeper died before the go came: it was never applied"
  fi
}

# The holder has heard the go as well. Looks what became of it, and checks its word.
take_out_shared() {
  if [ -e "$fence/failed" ]; then
    text_of failed
    case $text in
      'the order came late'*)
        note_late
        call_off "the order came late by $((now - start_by)) ms"
        ;;
      *) undo_shared "$text" ;;
    esac
  elif [ -e "$fence/held" ]; then
    stands_still && clock && true >"$fence/armed.$now.$((now + ahead)).$count" && return
    ! [ -e "$fence/dismissed" ] || problem="it was lifted while it was applied"
    undo_shared "$problem"
  elif [ -e "$fence/loosed" ] && [ -e "$fence/dismissed" ]; then
    call_off "it was lifted before it was applied"
  elif [ "$now" -gt $((start_by + 1000)) ] && ! [ -e "$fence/processes" ]; then
    call_off "the go did not reach the holder in time: it was never applied"
  elif ! holding || ! alive "$h1" "$hb"; then
    [ -e "$fence/held" ] || [ -e "$fence/failed" ] || undo_shared "the holder ended"
  elif [ "$now" -gt $((start_by + 7000)) ]; then
    undo_shared "not every thread stopped within 1 s"
  fi
}

# Sets count to how many processes stand still; sets problem where one does not. What stands still makes no more of them, so
# those on record are all.
stands_still() {
  recorded
  count=0
  for token in $list; do
    same "${token%:*}" "${token#*:}" || continue
    case $state in Z | X | x) continue ;; esac
    problem="process ${token%:*} was not stopped"
    halted "${token%:*}" || return 1
    count=$((count + 1))
  done
  problem="process $pid ended"
  alive "$pid" "$start" || return 1
  problem="the state directory cannot be written"
}

# A shell that cannot fork ends by itself. Then the last keeper ends the holder by what the shell has built in.
collapse_shared() {
  fence=$shared
  keepers || return
  [ "$k1" != $$ ] && alive "$k1" "$b1" && return
  [ "$k2" != $$ ] && alive "$k2" "$b2" && return
  for each in $everyone; do
    turn_to "$each"
    is_shared && holding && alive "$h1" "$hb" || continue
    is_armed && ! [ -e "$fence/lifted" ] && true >"$fence/released"
    kill -KILL "$h1" 2>/dev/null
  done
}

leave_shared() {
  trap - EXIT
  rm -f "$shared/program" "$shared/inquorate-holder" "$shared/wake"
  relied=
  for each in $everyone; do
    turn_to "$each"
    holding || continue
    if is_shared; then retire "$h1" "$hb"; else relied=1; fi
  done
  fence=$shared
  # A holder that never said how it stands is on record nowhere else.
  [ -n "$relied" ] || ! holding || retire "$h1" "$hb"
  keepers && { retire "$k1" "$b1"; retire "$k2" "$b2"; }
  exit 0
}
