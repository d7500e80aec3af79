# The keeper: one POSIX-shell program that applies a fence on its host, watches it and ends it, whoever else dies. What
# it does to the processes is the mechanism's; orders, epochs, deadlines and records are the same for all.
#
# - Nothing is touched before two keepers stand, each in a session of its own; either alone ends the fence at its
#   deadline on `/proc/uptime`. A SIGTERM to a keeper ends it at once, for a host that shuts down.
# - An order is taken as `records.sh` tells. The same pattern (say first, look after) joins applying and lifting, two orders
#   for one process, and two lifts.
# - A fence is over when its end is on record, written once by `link`, and everybody who could still send a signal
#   for it is gone: a late one would cut into the next hold. Until then neither the process nor its data directory can
#   be taken again, by any mechanism.
# - No process is signalled but by pid and start time.
#
#                      prepare                 go                        deadline, or lift
#   order  -> reserved, keepers and holder -> armed: held and checked -> lifted: free, nobody of ours left
#                |         stand by             |
#                |                              '-> undone: it did not hold, and is free again
#                '-> refused: late (may come again), outranked, mistaken, or no go in time: never applied
#
# Uses sh, /proc and coreutils, and `setsid` of util-linux. In the state directory: `fences`, as `records.sh` tells,
# and `holds/{<pid>.<start>,on.<device>.<inode>}/<operation>.<attempt>.<member>`. In a fence's folder, of each the
# file is the word: `order`, `standby.<until>`, `program`, `keepers`, `ready` (the second keeper), `prepared` (the first),
# `wake` (a pipe), `go` (its start-by), `deadline.<uptime>.<utc>`, `processes`, `holder`, `traces` and `held` (the holder's),
# `armed.<uptime>.<utc>.<count>`, `broken`, `dismissed`, `lifter.<pid>.<start>`, `done.<pid>.<start>`, `late.<n>`, `again.<n>`,
# `refused`, `undone`, `lifted`.
# shellcheck shell=sh

# --- state ---

records=fences
tools="setsid sleep mkfifo timeout head $tools"

open_state() {
  open_root fences holds
}

# Which mechanism made a fence; the pause leaves no mark.
maker() {
  made_by=pause
  for file in "$fence"/by.*; do
    [ -e "$file" ] && made_by=${file##*/by.}
  done
}

mark_maker() {
  [ "$mechanism" = pause ] || true >"$fence/by.$mechanism"
}

# Takes operation, attempt, member and epoch, and makes the epoch the least that is obeyed from here on.
open_fence() {
  open_record "$@"
  mark=$1.$2.$3
  # Whoever takes an order makes its folder first, and only then can say whose it is.
  [ -e "$fence/order" ] || return 0
  maker
  [ "$made_by" = "$mechanism" ] || answer refused "this fence is one of $made_by, not of $mechanism"
}

# A line counts only with its end mark, so a half-written one reads as none.
keepers() {
  k1= k2= end=
  read -r k1 b1 k2 b2 end 2>/dev/null <"$fence/keepers"
  [ "$end" = . ] && is_number "$k1" && is_number "$b1" && is_number "$k2" && is_number "$b2"
}

# Sets h1 and hb to the holder on record. Where there is one, the fence is of kernel grade: it never sends a signal.
holding() {
  h1= hb= end=
  read -r h1 hb end 2>/dev/null <"$fence/holder"
  [ "$end" = . ] && is_number "$h1" && is_number "$hb" && return 0
  h1=
  return 1
}

# Sets list to all processes that were ever stopped for this fence. Where the file is gone, list stays as it was.
recorded() {
  [ -e "$fence/processes" ] || return 0
  list=
  while read -r pid_ born_; do
    is_number "$pid_" && is_number "$born_" && [ "$pid_" -gt 1 ] && list="$list $pid_:$born_"
  done 2>/dev/null <"$fence/processes"
}

# --- letting go ---

# Whoever is about to send a SIGCONT for this fence records that first, and then looks whether the fence is over.
claim() {
  self
  look "$self"
  me=$self.$born
  true >"$fence/lifter.$me"
  ! [ -e "$fence/lifted" ]
}

# A lifter that is done records that before it looks at other lifters, and it sends nothing more. So two lifters never kill
# each other.
lifters() {
  rivals=
  for file in "$fence"/lifter.*; do
    file=${file##*/lifter.}
    is_number "${file%.*}" && is_number "${file#*.}" && ! [ -e "$fence/done.$file" ] && rivals="$rivals $file"
  done
}

# Ends everybody who might still send a SIGCONT for this fence. The end of the fence is on record before.
retire_all() {
  keepers && { retire "$k1" "$b1" || return 1; retire "$k2" "$b2" || return 1; }
  lifters
  for file in $rivals; do
    retire "${file%.*}" "${file#*.}" || return 1
  done
  return 0
}

take_off() {
  me=
  facts_of_order
  if sharing; then
    take_off_shared "$1"
    return
  fi
  if ! [ -e "$fence/lifted" ] && claim; then
    # A keeper that is still applying would go on stopping processes. The other keeper stays until the processes run.
    keepers && ! is_armed && { retire "$k1" "$b1" || return 1; }
    # A refused order stopped nothing, and another fence may hold the process by now.
    [ -e "$fence/refused" ] || free 100 || return 1
    settle "$1" || return 1
  fi
  [ -z "$me" ] || true >"$fence/done.$me"
  retire_all || return 1
  tidy >/dev/null 2>&1 &
  return 0
}

# --- the keepers ---

leave() {
  trap - EXIT
  { [ -e "$fence/lifted" ] || [ -e "$fence/refused" ]; } && tidy
  exit 0
}

# What is of no use once a fence is over.
tidy() {
  rm -f "$fence/program" "$fence/inquorate-holder" "$fence/wake"
}

# Ends an order before anything was stopped.
decline() {
  stand_down
  note refused "$1"
  leave
}

decline_late() {
  note_late
  decline "the order came late by $((now - start_by)) ms"
}

undo() {
  if free 50; then
    note undone "$1"
    settle Keeper
  else
    wind_down
    note undone "$1"
  fi
  leave
}

nap() {
  case $1 in ?) sleep "0.00$1" ;; ??) sleep "0.0$1" ;; *) sleep "0.$1" ;; esac
}

# A shell that cannot fork ends by itself. Then the last keeper lets go by what the shell has built in.
collapse() {
  keepers || return
  [ "$k1" != $$ ] && alive "$k1" "$b1" && return
  [ "$k2" != $$ ] && alive "$k2" "$b2" && return
  [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || last_word
}

# Everything is ready and nothing is touched. The keeper sleeps until somebody wakes it or the time for a go is over.
await_go() {
  until go_given; do
    [ -e "$fence/refused" ] && leave
    [ -e "$fence/dismissed" ] && decline "it was lifted before it was applied"
    [ -z "$ending" ] || decline "it was ended before it was applied"
    clock
    [ "$now" -le "$standby" ] || decline "no go came in time: it was never applied"
    timeout $(((standby - now) / 1000 + 1)) head -n 1 <&7 >/dev/null 2>&1
  done
}

apply() {
  [ -e "$fence/dismissed" ] && decline "it was lifted before it was applied"
  deadlines || decline "the order has no deadline"
  begin
  take_out
  clock
  true >"$fence/armed.$now.$((now + ahead)).$count" || undo "the state directory cannot be written"
}

# The last look before the first touch, by what the shell has built in.
begin() {
  alive "$pid" "$start" || decline "process $pid has ended"
  case $state in T | t) decline "process $pid is stopped already" ;; esac
  printf '%s %s\n' "$pid" "$start" >>"$fence/processes" || decline "the state directory cannot be written"
  clock
  [ "$now" -le "$start_by" ] || decline_late
  [ "$now" -lt "$deadline" ] || decline "the deadline had passed"
}

# The second keeper waits here until the first has recorded what became of the order.
await_outcome() {
  true >"$fence/ready"
  limit=$((standby + patience + 10000))
  while ! is_armed; do
    [ -e "$fence/refused" ] && leave
    [ -e "$fence/lifted" ] && leave
    clock
    if [ "$now" -gt "$limit" ] || ! alive "$k1" "$b1"; then
      retire "$k1" "$b1"
      is_armed && return 0
      [ -e "$fence/refused" ] && leave
      [ -e "$fence/go" ] || decline "its keeper died before the go came: it was never applied"
      undo "the keeper that applied it died"
    fi
    if [ -e "$fence/go" ]; then sleep 0.02; else sleep 0.1; fi
  done
}

# True for the keeper that looks whether the fence is broken: the first, or the second where the first is gone.
looks_out() {
  [ "$role" = 1 ] || ! alive "$k1" "$b1"
}

stand() {
  recorded
  while ! [ -e "$fence/lifted" ]; do
    clock
    deadlines
    left=$((deadline - now))
    [ "$left" -gt 0 ] && [ -z "$ending" ] || break
    watch
    [ "$left" -lt 200 ] || left=200
    nap "$left"
  done
  wind_down
  # A frozen keeper would send its signals when it thaws, to a process that another fence may hold by then.
  retire "$k1" "$b1"
  retire "$k2" "$b2"
  leave
}

# Puts the member back, as many times as it takes, and records the end. Gives up after a minute or so.
wind_down() {
  turns_left=60
  while ! [ -e "$fence/lifted" ]; do
    if free 20; then
      settle Keeper
      break
    fi
    turns_left=$((turns_left - 1))
    [ "$turns_left" -gt 0 ] || leave
    sleep 0.1
  done
}

keep() {
  case ${fence##*/} in shared.*) keep_shared "$1" ;; esac
  role=$1 grade=Keeper ending= start_by=
  facts_of_order
  standing_by || exit 0
  list=$pid:$start
  cd /
  trap '' HUP INT QUIT
  trap 'ending=1' TERM
  trap collapse EXIT
  echo -1000 2>/dev/null >/proc/self/oom_score_adj
  utc
  clock
  ahead=$((utc - now))
  limit=$((now + 10000))
  until keepers; do
    clock
    [ "$now" -le "$limit" ] || leave
    sleep 0.002
  done
  if [ "$role" = 2 ]; then
    await_outcome
  else
    until [ -e "$fence/ready" ]; do
      clock
      [ "$now" -le "$limit" ] || decline "the second keeper did not start"
      sleep 0.002
    done
    exec 7<>"$fence/wake" || decline "the state directory cannot be written"
    stand_ready
    true >"$fence/prepared" || decline "the state directory cannot be written"
    await_go
    apply
  fi
  stand
}

# --- the verbs ---

refuse() {
  for hold in $(held_as); do rm -f "$state_root/holds/$hold/$mark"; done
  note refused "$1"
  wake
  answer refused "$1"
}

# A fence is over when its end is on record and nobody is left who could send a signal for it.
is_over() {
  [ -d "$fence" ] || return 0
  void && return 0
  [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || lapsed || return 1
  if sharing; then
    is_loosed || return 1
  else
    keepers && { alive "$k1" "$b1" || alive "$k2" "$b2"; } && return 1
    holding && alive "$h1" "$hb" && return 1
  fi
  lifters
  for file in $rivals; do
    alive "${file%.*}" "${file#*.}" && return 1
  done
  return 0
}

# True where no go has come by the end of its own time, so that none ever will.
lapsed() {
  ! [ -e "$fence/go" ] && ! is_armed && standing_by && clock && [ "$now" -gt "$standby" ]
}

# Prints what a fence holds: the process, and its data directory. A server that is started again has another pid and the
# same directory.
held_as() {
  printf '%s\n' "$pid.$start"
  place_of "$pid" "$directory"
  if [ "$place" = "$owned" ]; then printf '%s\n' "on.$owned_key"; else stat -Lc 'on.%d.%i' "$place" 2>/dev/null; fi
}

# True where the other fence holds the same thing. A removed directory's inode may belong to a new directory.
is_same_place() {
  case ${hold##*/} in on.*) ;; *) return 0 ;; esac
  place= of_=
  { read -r _ && read -r _ && IFS= read -r of_ && IFS= read -r place; } 2>/dev/null <"$fence/order"
  # The name of a directory in a container means nothing here once its process is gone.
  case $of_ in /*) [ -z "$container" ] || return 0 ;; *) return 0 ;; esac
  [ -z "$place" ] || [ "$place" -ef "$directory" ]
}

# Waits until a fence is over. Where its end is on record, its keepers are about to leave.
await_over() {
  spins=0
  until is_over; do
    [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || return 1
    spins=$((spins + 1))
    [ "$spins" -le 200 ] || return 1
    sleep 0.005
  done
}

# Ends the fence that is open where it only stands by, for an earlier attempt of the operation of mine. Who prepared it is
# dead or outranked, or does not want it any more, so no go will come.
replace_standby() {
  case $name in "${mark%%.*}".*) ;; *) return 0 ;; esac
  ! [ -e "$fence/go" ] && ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ] && ! void || return 0
  true >"$fence/dismissed"
  wake
  (take_off Worker) >/dev/null 2>&1
}

# Records what this fence means to hold before it looks who else does. Of two fences at once at least one sees the other.
reserve() {
  mine=$fence
  holds=$(held_as)
  set --
  for hold in $holds; do
    [ -d "$state_root/holds/$hold" ] || set -- "$@" "$state_root/holds/$hold"
  done
  [ $# = 0 ] || mkdir -p "$@" 2>/dev/null
  set --
  for hold in $holds; do
    hold=$state_root/holds/$hold
    true >"$hold/$mark" || refuse "the state directory cannot be written"
    for other in "$hold"/*; do
      name=${other##*/}
      [ "$name" = "$mark" ] && continue
      fence=$state_root/fences/${name%%.*}/${name#*.}
      replace_standby
      if await_over; then
        set -- "$@" "$other"
      elif is_same_place; then
        fence=$mine
        refuse "process $pid is held by the fence $name"
      fi
    done
  done
  [ $# = 0 ] || { rm -f "$@" >/dev/null 2>&1 5<&- 6>&- 8>&- 9>&- & }
  fence=$mine
}

# --- what the verbs ask ---

judge_member() {
  judge "$@"
}

open_session() { :; }

# Two keepers stand before anything is touched. Those that may be shared are started once all fences are known.
make_ready() {
  reserve
  keep_settings "$@" || refuse "$problem"
  if joins; then
    printf '%s\n' "$called" >"$fence/called" || refuse "the state directory cannot be written"
  else
    raise_pair
  fi
}

raise_pair() {
  write_program && mkfifo "$fence/wake" || refuse "the state directory cannot be written"
  launch keep 1 "$directory"
  k1=$!
  launch keep 2 "$directory"
  k2=$!
  look "$k1" && b1=$born && look "$k2" && b2=$born || refuse "the keepers did not start"
  printf '%s %s %s %s .\n' "$k1" "$b1" "$k2" "$b2" >"$fence/keepers" || refuse "the state directory cannot be written"
}

# Waits until everything stands ready. What does not by now is looked at by its keeper.
await_ready() {
  [ -e "$fence/prepared" ] || wake
  until [ -e "$fence/prepared" ]; do
    if [ -e "$fence/refused" ]; then answer_refused; fi
    if [ -e "$fence/apart" ] && sharing; then stand_alone; fi
    [ -e "$fence/lifted" ] && answer undone "it was lifted before it was applied"
    alive "$k1" "$b1" || alive "$k2" "$b2" || [ -e "$fence/prepared" ] || [ -e "$fence/refused" ] || refuse "its keepers ended"
    clock
    [ "$now" -le $((standby + 1000)) ] || answer unknown "the keepers have not answered"
    sleep 0.001
  done
}

stands_by() {
  keepers && standing_by
}

# A keeper bites as soon as it hears the go.
bites=
bite() { :; }

# Where both keepers are dead, whoever asks takes their place.
if_forsaken() {
  alive "$k1" "$b1" || alive "$k2" "$b2" || is_armed || [ -e "$fence/refused" ] || [ -e "$fence/lifted" ] && return
  note undone "both keepers died"
  take_off Worker || answer unknown "both keepers died, and $stuck"
}

stood_down() {
  if sharing; then
    free_shared
    return
  fi
  keepers && retire "$k1" "$b1" && retire "$k2" "$b2"
}

why_it_stands() {
  text_of trouble
  [ -z "$text" ] || { printf '%s' "$stuck: $text"; return; }
  printf '%s' "$stuck, or a keeper not be ended"
}

review() {
  settle_orphan
}

muster() {
  alone=0 grade=Keeper
  keepers && alive "$k1" "$b1" && alone=$((alone + 1))
  [ -n "$k2" ] && alive "$k2" "$b2" && alone=$((alone + 1))
  holding && grade=Kernel
  [ "$alone" = 0 ] || return 0
  facts_of_order
  recorded
  escaped && broken=1
}

may_tighten() { :; }
bring_forward() { :; }

is_of_ours() {
  maker
  [ "$made_by" = "$mechanism" ]
}

# Its keepers end it by themselves, if a little late.
set_grace() {
  grace=0
  keepers && { alive "$k1" "$b1" || alive "$k2" "$b2"; } && grace=2000
}

begin_sweep() {
  is_ours "$state_root/holds" || answer refused "$problem"
}

note_place() { :; }

end_sweep() {
  [ "$clear" != clear ] || forget_holds
}

forget_holds() {
  for hold in "$state_root"/holds/*; do
    [ -d "$hold" ] || continue
    busy=
    for other in "$hold"/*; do
      [ -e "$other" ] || continue
      name=${other##*/}
      fence=$state_root/fences/${name%%.*}/${name#*.}
      if is_over; then rm -f "$other"; else busy=1; fi
    done
    [ -n "$busy" ] || rmdir "$hold" 2>/dev/null
  done
}
