# The keeper: one POSIX-shell program that applies a fence on its host, watches it and ends it, whoever else dies. What
# it does to the processes is the mechanism's; orders, epochs, deadlines and records are the same for all.
#
# - Nothing is touched before two keepers stand, each in a session of its own; either alone ends the fence at its
#   deadline on `/proc/uptime`. A SIGTERM to a keeper ends it at once, for a host that shuts down.
# - An order is taken as `FenceRecords` tells. The same pattern (say first, look after) joins applying and lifting, two
#   orders for one process, and two lifts.
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
#   verb      takes                                              does
#   hello     -                                                  machine, boot, uptime, UTC, state directory
#   session   orders on standard input, word by word             answers each, for as long as its input is open
#   preflight process, the mechanism's words                     looks, touches nothing
#   prepare   fence, epoch, process, stand-by, boot, name, words makes ready, touches nothing
#   ready     operation, attempt, epoch, members                 waits until what was prepared stands ready
#   go        operation, attempt, epoch, start-by, deadline      applies what stands ready, all at once
#             twice, boot, members
#   arm       the words of prepare and go                        both in one
#   tighten   fence, epoch, deadline twice, boot                 brings the deadline forward, never back
#   lift      fence, epoch                                       takes it off; one that was never applied never can be
#   inspect   fence, epoch                                       tells how it stands; raises the epoch that is obeyed
#   sweep     look or clear                                      tells of all; ends what is past its time
#   keep      role                                               a keeper (1 applies, 2 watches it), started by prepare
#
# Uses sh, /proc and coreutils, and `setsid` of util-linux. In the state directory: `fences`, as `FenceRecords` tells,
# and `holds/{<pid>.<start>,on.<device>.<inode>}/<operation>.<attempt>.<member>`. In a fence's folder, of each the
# file is the word: `order`, `standby.<until>`, `program`, `keepers`, `ready` (the second keeper), `prepared` (the first),
# `wake` (a pipe), `go` (its start-by), `deadline.<uptime>.<utc>`, `processes`, `holder`, `traces` and `held` (the holder's),
# `armed.<uptime>.<utc>.<count>`, `broken`, `dismissed`, `lifter.<pid>.<start>`, `done.<pid>.<start>`, `late.<n>`, `again.<n>`,
# `refused`, `undone`, `lifted`.
# shellcheck shell=sh

# --- state ---

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
  open_record fences "$@"
  mark=$1.$2.$3
  [ -d "$fence" ] || return 0
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

# Sets list to all that was ever stopped for this fence; what is known in memory stays if the file is gone.
recorded() {
  [ -e "$fence/processes" ] || return 0
  list=
  while read -r pid_ born_; do
    is_number "$pid_" && is_number "$born_" && [ "$pid_" -gt 1 ] && list="$list $pid_:$born_"
  done 2>/dev/null <"$fence/processes"
}

# --- letting go ---

# Whoever may still send a SIGCONT for this fence says so first and looks for the record of its end after.
claim() {
  self
  look "$self"
  me=$self.$born
  true >"$fence/lifter.$me"
  ! [ -e "$fence/lifted" ]
}

# Who is done will send nothing more, and says so before it looks at the others: two lifts never kill each other.
lifters() {
  rivals=
  for file in "$fence"/lifter.*; do
    file=${file##*/lifter.}
    is_number "${file%.*}" && is_number "${file#*.}" && ! [ -e "$fence/done.$file" ] && rivals="$rivals $file"
  done
}

# After the record is written: ends everybody who might still send a SIGCONT for this fence.
retire_all() {
  keepers && { retire "$k1" "$b1" || return 1; retire "$k2" "$b2" || return 1; }
  lifters
  for file in $rivals; do
    retire "${file%.*}" "${file#*.}" || return 1
  done
  return 0
}

# What the order said, for those who were not told: a lift and a sweep.
facts_of_order() {
  exe= directory=
  { read -r _ && read -r pid start _ && IFS= read -r exe && IFS= read -r directory; } 2>/dev/null <"$fence/order"
}

take_off() {
  me=
  facts_of_order
  if ! [ -e "$fence/lifted" ] && claim; then
    # An applier in the middle of its work would go on stopping. Its sibling stays until the processes run.
    keepers && ! is_armed && { retire "$k1" "$b1" || return 1; }
    # What was refused was never stopped, and may be held by another fence by now.
    [ -e "$fence/refused" ] || free 100 || return 1
    settle "$1" || return 1
  fi
  [ -z "$me" ] || true >"$fence/done.$me"
  retire_all || return 1
  tidy >/dev/null 2>&1 &
  return 0
}

# --- the keepers ---

# Starts a verb of this very program on the fence, in a session of its own. Its text lies in the fence's own folder: what
# stands in the arguments is there for everybody to read, and says whose it is.
launch() {
  setsid sh -c '. "$3/program"' inquorate-keeper "${operation##*/}" "${called:-${fence##*.}}" "$fence" "$@" </dev/null >/dev/null 2>&1 &
}

write_program() {
  printf 'called=$2 fence=$3 operation=${3%%/*}\nshift 3\n%s\n' "$program" >"$fence/program"
}

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

# The shell ends by itself when it cannot fork. Then the last keeper lets go with what it has built in.
collapse() {
  keepers || return
  [ "$k1" != $$ ] && alive "$k1" "$b1" && return
  [ "$k2" != $$ ] && alive "$k2" "$b2" && return
  [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || last_word
}

# Sets start_by once the go is there, whole.
go_given() {
  start_by= end=
  read -r start_by end 2>/dev/null <"$fence/go"
  [ "$end" = . ] && is_number "$start_by"
}

# Everything is ready and nothing is touched. Sleeps until it is woken, or its own time is over.
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
  [ "$grade" = Kernel ] || begin
  take_out
  clock
  true >"$fence/armed.$now.$((now + ahead)).$count" || undo "the state directory cannot be written"
}

# The last look before the first touch, with nothing but what the shell has built in. The holder has one of its own.
begin() {
  alive "$pid" "$start" || decline "process $pid has ended"
  case $state in T | t) decline "process $pid is stopped already" ;; esac
  printf '%s %s\n' "$pid" "$start" >>"$fence/processes" || decline "the state directory cannot be written"
  clock
  [ "$now" -le "$start_by" ] || decline_late
  [ "$now" -lt "$deadline" ] || decline "the deadline had passed"
}

# The second keeper, until the first has said what became of the order.
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

# True for the one keeper that looks whether the fence is broken: the second only where the first is gone.
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
  # A frozen sibling would send its signals when it thaws, into whatever holds the process then.
  retire "$k1" "$b1"
  retire "$k2" "$b2"
  leave
}

# Puts the member back however often it takes, and records the end; gives up after a minute or so.
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

preflight() {
  hello
  [ -z "$problem" ] || answer impossible "$problem"
  well_formed "$1" "$2" "$3" "$4" || answer mistaken "the process is not fully named"
  for tool in setsid sleep mkdir mv ln readlink date rm tr stat mkfifo timeout head $tools; do
    command -v $tool >/dev/null || answer impossible "the host has no $tool"
  done
  judge "$1" "$2" "$3" "$4" || answer "$verdict" "$problem"
  pid=$1 start=$2 exe=$3 directory=$4 grade=Keeper
  shift 4
  fits "$@" || answer "$verdict" "$problem"
  answer ready "$grade"
}

refuse() {
  for hold in $(held_as); do rm -f "$state_root/holds/$hold/$mark"; done
  note refused "$1"
  answer refused "$1"
}

refuse_late() {
  note_late
  note refused "the order came late by $((now - start_by)) ms"
  answer late "the order came late by $((now - start_by)) ms"
}

# A fence is over when its end is on record and nobody is left who could send a signal for it.
is_over() {
  [ -d "$fence" ] || return 0
  void && return 0
  [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || lapsed || return 1
  keepers && { alive "$k1" "$b1" || alive "$k2" "$b2"; } && return 1
  holding && alive "$h1" "$hb" && return 1
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

# By what a fence holds: the process, and its data directory, which a server that is started again keeps.
held_as() {
  printf '%s\n' "$pid.$start"
  place_of "$pid" "$directory"
  stat -Lc 'on.%d.%i' "$place" 2>/dev/null
}

# True where the other fence means the same, and not a directory that had this inode before it was removed.
is_same_place() {
  case ${hold##*/} in on.*) ;; *) return 0 ;; esac
  place= of_=
  { read -r _ && read -r _ && IFS= read -r of_ && IFS= read -r place; } 2>/dev/null <"$fence/order"
  # A directory in a container has no name here that outlives its process.
  case $of_ in /*) [ -z "$container" ] || return 0 ;; *) return 0 ;; esac
  [ -z "$place" ] || [ "$place" -ef "$directory" ]
}

# True once a fence is over. One whose end is on record has keepers for a moment still, who are about to leave.
await_over() {
  spins=0
  until is_over; do
    [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || return 1
    spins=$((spins + 1))
    [ "$spins" -le 200 ] || return 1
    sleep 0.005
  done
}

# Says what it means to hold before it looks who else does: of two at once at least one sees the other.
reserve() {
  mine=$fence
  for hold in $(held_as); do
    hold=$state_root/holds/$hold
    [ -d "$hold" ] || mkdir -p "$hold" 2>/dev/null
    true >"$hold/$mark" || refuse "the state directory cannot be written"
    for other in "$hold"/*; do
      name=${other##*/}
      [ "$name" = "$mark" ] && continue
      fence=$state_root/fences/${name%%.*}/${name#*.}
      if await_over; then
        rm -f "$other"
      elif is_same_place; then
        fence=$mine
        refuse "process $pid is held by the fence $name"
      fi
    done
  done
  fence=$mine
}

# Takes the order and makes everything ready that touches nothing, up to the keepers, which then stand by for its go. Takes
# operation, attempt, member, epoch, the process in four words, until when on the uptime a go may come, the boot, the
# member's name for people, and the mechanism's own words.
get_ready() {
  is_number "$9" && well_formed "$5" "$6" "$7" "$8" || answer refused "the order is malformed"
  open_fence "$1" "$2" "$3" "$4"
  pid=$5 start=$6 exe=$7 directory=$8 standby=$9 called=${11}
  take_order
  mark_maker
  printf '%s\n' "$boot" "$pid $start $epoch $standby" "$exe" "$directory" >"$fence/order" &&
    true >"$fence/standby.$standby" || refuse "the state directory cannot be written"
  outranked && refuse "epoch $seen was seen, the order is of epoch $epoch"
  [ "${10}" = "$boot" ] || refuse "the host was restarted since it was last asked"
  clock
  [ "$now" -le "$start_by" ] || refuse_late
  judge "$pid" "$start" "$exe" "$directory" || refuse "$problem"
  [ -z "$container" ] || directory_key "$pid" "$directory" >"$fence/place" || refuse "the state directory cannot be written"
  shift 11
  reserve
  keep_settings "$@" || refuse "$problem"
  write_program && mkfifo "$fence/wake" || refuse "the state directory cannot be written"
  launch keep 1 "$directory"
  k1=$!
  launch keep 2 "$directory"
  k2=$!
  look "$k1" && b1=$born && look "$k2" && b2=$born || refuse "the keepers did not start"
  printf '%s %s %s %s .\n' "$k1" "$b1" "$k2" "$b2" >"$fence/keepers" || refuse "the state directory cannot be written"
}

# Waits until everything stands ready.
await_ready() {
  until [ -e "$fence/prepared" ]; do
    if [ -e "$fence/refused" ]; then answer_refused; fi
    [ -e "$fence/lifted" ] && answer undone "it was lifted before it was applied"
    alive "$k1" "$b1" || alive "$k2" "$b2" || [ -e "$fence/prepared" ] || [ -e "$fence/refused" ] || refuse "its keepers ended"
    clock
    [ "$now" -le $((standby + 1000)) ] || answer unknown "the keepers have not answered"
    sleep 0.003
  done
}

# The go: written once, whole, and only then heard. One that comes late touches nothing and may come again. Takes until
# when it may begin, and the deadline by uptime and by UTC.
give_go() {
  is_number "$1" && is_number "$2" && is_number "$3" || answer refused "the order is malformed"
  start_by=$1
  outranked && answer refused "epoch $seen was seen, the order is of epoch $epoch"
  keepers && standing_by && [ -e "$fence/prepared" ] || answer refused "the host has nothing prepared for it"
  [ -e "$fence/lifted" ] && answer refused "it was lifted before it was applied"
  if [ -e "$fence/refused" ]; then answer_refused; fi
  [ -e "$fence/go" ] && answer refused "this order was given before"
  clock
  [ "$now" -le "$start_by" ] || answer late "the order came late by $((now - start_by)) ms"
  [ "$now" -lt "$2" ] || answer refused "the deadline had passed"
  [ "$now" -le "$standby" ] || answer refused "no go came in time: it was never applied"
  true >"$fence/deadline.$2.$3" || answer refused "the state directory cannot be written"
  set -C
  printf '%s .\n' "$start_by" 2>/dev/null >"$fence/go" || answer refused "this order was given before"
  set +C
  # Whoever raised the epoch since looks at the fence after that.
  outranked && refuse "epoch $seen was seen, the order is of epoch $epoch"
  echo 1<>"$fence/wake"
}

# Waits for what becomes of a go.
await_armed() {
  clock
  limit=$((now + patience + 12000))
  until is_armed; do
    if [ -e "$fence/refused" ]; then answer_refused; fi
    if [ -e "$fence/undone" ]; then text_of undone; answer undone "$text"; fi
    [ -e "$fence/lifted" ] && answer undone "it was lifted while it was applied"
    clock
    [ "$now" -le "$limit" ] || answer unknown "the keepers have not answered"
    if ! alive "$k1" "$b1" && ! alive "$k2" "$b2" && ! is_armed && ! [ -e "$fence/refused" ] && ! [ -e "$fence/lifted" ]; then
      note undone "both keepers died"
      take_off Worker || answer unknown "both keepers died, and $stuck"
    fi
    sleep 0.002
  done
}

# In one: prepared, and gone at once.
arm() {
  is_number "$9" && is_number "${10}" && is_number "${11}" || answer refused "the order is malformed"
  start_by=$9 deadline_=${10} deadline_utc_=${11}
  clock
  [ "$now" -lt "$deadline_" ] || answer refused "the deadline had passed"
  first="$1 $2 $3 $4" pid=$5 start=$6 exe=$7 directory=$8
  shift 11
  # The boot, the name and the mechanism's words are left.
  get_ready $first "$pid" "$start" "$exe" "$directory" $((start_by + 5000)) "$@"
  await_ready
  give_go "$start_by" "$deadline_" "$deadline_utc_"
  await_armed
  describe
}

prepare() {
  start_by=$9
  get_ready "$@"
  answer preparing
}

# Opens a fence that this very session has prepared, and so has looked at all the way: on the way to a fence that bites
# no other program is started for it.
reopen_fence() {
  is_name "$1" && is_number "$2" && is_name "$3" && is_number "$4" || answer refused "the order is malformed"
  open_boot
  operation=$state_root/fences/$1
  fence=$operation/$2.$3 mark=$1.$2.$3 epoch=$4
  [ -d "$operation/epoch.$epoch" ] || mkdir "$operation/epoch.$epoch" 2>/dev/null ||
    answer refused "the state directory $state_root cannot be written"
}

# Takes operation, attempt, epoch and members: says of each that it is prepared, or why not.
ready() {
  of="$1 $2" epoch_=$3
  shift 3
  for member; do
    (
      answering="$member "
      reopen_fence $of "$member" "$epoch_"
      keepers && standing_by || answer refused "the host has nothing prepared for it"
      facts_of_order
      await_ready
      answer prepared
    )
  done
}

# Takes operation, attempt, epoch, until when it may begin, the deadline by uptime and by UTC, the boot, and members:
# every one gets its go before any is waited for.
go() {
  of="$1 $2" epoch_=$3 times="$4 $5 $6" boot_=$7 given=
  shift 7
  for member; do
    (
      answering="$member "
      reopen_fence $of "$member" "$epoch_"
      [ "$boot_" = "$boot" ] || answer refused "the host was restarted since it was last asked"
      facts_of_order
      give_go $times
      exit 7
    )
    [ $? = 7 ] && given="$given $member"
  done
  for member in $given; do
    (
      answering="$member "
      reopen_fence $of "$member" "$epoch_"
      keepers
      await_armed
      describe
    )
  done
}

# An order may come again only once the keepers of the late one are gone.
answer_refused() {
  text_of refused
  times_late
  case $text in 'the order came late'*) ;; *) answer refused "$text" ;; esac
  retire "$k1" "$b1" && retire "$k2" "$b2" || answer refused "$text"
  answer late "$text"
}

describe() {
  [ -d "$fence" ] || answer absent
  if ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ]; then
    if void; then settle_void; else settle_orphan; fi
  fi
  broken=0
  [ -e "$fence/broken" ] && broken=1
  if [ -e "$fence/lifted" ]; then
    text_of back
    read -r off when by <"$fence/lifted"
    since_off
    standing="lifted $by $when $broken $ago $text"
    standing=${standing% }
  elif [ -e "$fence/refused" ]; then
    text_of refused
    standing="refused $text"
  elif is_armed; then
    file=${file##*/armed.}
    count=${file##*.} file=${file%.*}
    armed_utc=${file##*.}
    alone=0
    keepers && alive "$k1" "$b1" && alone=$((alone + 1))
    [ -n "$k2" ] && alive "$k2" "$b2" && alone=$((alone + 1))
    if [ "$alone" = 0 ]; then
      facts_of_order
      recorded
      escaped && broken=1
    fi
    deadlines
    grade=Keeper
    holding && grade=Kernel
    standing="armed $count $armed_utc $deadline_utc $alone $broken $grade"
  else
    standing=arming
  fi
  [ -n "$quietly" ] || printf '%s\n' "$answering$standing"
}

why_it_stands() {
  text_of trouble
  [ -z "$text" ] || { printf '%s' "$stuck: $text"; return; }
  printf '%s' "$stuck, or a keeper not be ended"
}

tighten() {
  open_to_tighten "$@"
  deadlines || answer refused "the fence has no deadline yet"
  [ "$6" -le "$deadline_utc" ] || answer refused "the fence ends earlier than that already"
  true >"$fence/deadline.$5.$6" || answer unknown "the state directory cannot be written"
  answer tightened
}

sweep_fence() {
  quietly=1 list=
  describe
  case $standing in
    arming | armed*)
      grace=0
      [ "${standing#armed}" = "$standing" ] && alone=0 && keepers && { alive "$k1" "$b1" || alive "$k2" "$b2"; } && alone=1
      [ "$alone" = 0 ] || grace=2000
      if [ "$clear" = clear ] && deadlines && [ "$now" -ge $((deadline + grace)) ]; then
        true >"$fence/dismissed"
        take_off Sweep
        describe
      fi
      ;;
  esac
  printf '%s\n' "fence $operation_id $attempt $member $standing"
}

sweep() {
  clear=$1
  open_state || answer refused "$problem"
  is_ours "$state_root/fences" "$state_root/holds" || answer refused "$problem"
  open_boot
  clock
  utc
  today=$utc
  for operation in "$state_root"/fences/*; do
    operation_id=${operation##*/}
    is_name "$operation_id" || continue
    emptied=
    for fence in "$operation"/[0-9]*.*; do
      [ -d "$fence" ] || continue
      member=${fence##*.} attempt=${fence##*/} attempt=${attempt%%.*}
      is_number "$attempt" && is_name "$member" || continue
      maker
      [ "$made_by" = "$mechanism" ] || continue
      sweep_fence
      is_old && is_over && rm -rf "$fence" && emptied=1
    done
    [ -z "$emptied" ] || forget_operation
  done
  [ "$clear" = clear ] && forget_holds
  answer swept
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
