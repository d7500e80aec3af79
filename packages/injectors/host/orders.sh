# The verbs that every mechanism has: what each does with its words, the records and the boot is here; what is the
# mechanism's own it calls by name. Shell text.
#
#   verb      takes                                              does
#   hello     -                                                  machine, boot, uptime, UTC, state directory
#   session   orders on standard input, word by word             answers each, for as long as its input is open
#   preflight process, the mechanism's words                     looks, touches nothing; tells who watches over it
#   prepare   fence, epoch, process, stand-by, boot, name, words makes ready, touches nothing
#   prepare_all  how many words each has, and words of prepare   the same for several fences, side by side
#   ready     operation, attempt, epoch, members                 waits until what was prepared stands ready
#   go        operation, attempt, epoch, start-by, deadline      applies what stands ready, all at once
#             twice, boot, members
#   arm       the words of prepare and go                        both in one
#   tighten   fence, epoch, deadline twice, boot                 brings the deadline forward, never back
#   lift      fence, epoch                                       takes it off; one that was never applied never can be
#   lift_all  operation, attempt, epoch, members                 the same for several fences, side by side
#   inspect   fence, epoch                                       tells how it stands; raises the epoch that is obeyed
#   sweep     look or clear                                      tells of all; ends what is past its time
#   keep      role                                               a keeper (1 applies, 2 watches it; one beside a cut's table),
#                                                                started by prepare
#   revive, perform                                              what a lift of `kill` or `command` starts
#
#   a mechanism says       which
#   records                variable: the folder of its fences in the state directory
#   open_state             opens the state directory with that folder
#   open_fence             opens the fence of an order: operation, attempt, member, epoch
#   mark_maker             leaves its mark on a fence that it makes
#   judge_member           sets verdict and problem for a process in four words, which it does not touch
#   fits                   the same for the mechanism's own words, once the process is judged; may set grade
#   watchers               prints who watches over a process, as `supervisor.sh` does
#   open_session           what a session knows for all its orders
#   make_ready             makes an order's fence ready, up to the mark `prepared`; ends with refuse where it cannot
#   await_ready            waits for that mark
#   stands_by              true where a go may come to the fence that is open
#   stand_ahead ORDERS     starts what several fences will share, while they are prepared; it touches nothing
#   hand_over              gives it their fences, where all of them were prepared
#   stand_up MEMBERS       starts what several fences share, where they have nothing yet
#   sharing                true where a fence shares its keepers, which stand in the folder shared then
#   sound MEMBERS          lets those hear it who apply these fences
#   bites, bite            variable: set where the program that hears the go applies it by itself, and how
#   if_forsaken            ends with an answer where nobody is left who applies the fence
#   stood_down             ends whatever stands by, and is true once it is gone
#   take_off WHO           ends a fence whose order is not void, and puts that on record
#   why_it_stands          prints why take_off could not
#   review                 looks at a fence that is not on record as over, and settles or marks what it finds
#   muster                 sets alone (how many keepers live) and grade of a fence that is applied
#   may_tighten            ends with an answer where a deadline cannot be brought forward
#   bring_forward          does so, once the nearer deadline is on record
#   is_of_ours             true for a fence that a sweep is to look at
#   set_grace              sets grace: how late in ms a fence may be before a sweep ends it
#   is_over                true where nobody of ours can act for the fence any more
#   begin_sweep, end_sweep before the first fence and after the last one
#   note_place             after each fence that a sweep keeps
# shellcheck shell=sh

# --- orders ---

# Takes one order after another from the standard input for as long as it is open: how many words, then each on a line of
# its own, in which \\ stands for a backslash and \n for a line end. Each answer ends with a line that nothing else says.
session() {
  hello
  climb
  open_session
  printf '%s\n' "-- inquorate --"
  while IFS= read -r count; do
    is_number "$count" || exit 0
    set --
    while [ "$count" -gt 0 ]; do
      IFS= read -r word || exit 0
      case $word in *\\*) word=$(printf '%b.' "$word") && word=${word%.} ;; esac
      set -- "$@" "$word"
      count=$((count - 1))
    done
    case $1 in
      prepare | tighten | lift | lift_all | inspect) look_through "$2" ;;
      prepare_all) look_through "$3" ;;
    esac
    case $1 in
      preflight | prepare | prepare_all | ready | go | tighten | lift | lift_all | inspect | hello) ("$@") </dev/null ;;
    esac
    printf '%s\n' "-- inquorate --"
  done
  exit 0
}

hello() {
  open_state
  open_boot
  machine=unknown
  # Of the machine, not of a container that shares its processes: of the first process's root, where we may look there.
  first=/proc/1/root
  read -r machine 2>/dev/null <"$first/etc/machine-id" || read -r machine 2>/dev/null </etc/machine-id
  clock
  utc
  printf '%s\n' "hello ${machine:-unknown} $boot $now $utc $state_root"
}

# --- programs of a fence ---

# Reads what the order said. A lift and a sweep are not told it otherwise.
facts_of_order() {
  exe= directory=
  { read -r _ && read -r pid start _ && IFS= read -r exe && IFS= read -r directory; } 2>/dev/null <"$fence/order"
}

# Starts a verb of this very program on the fence, in a session of its own. Its text lies in the fence's own folder: what
# stands in the arguments is there for everybody to read, and says whose it is.
launch() {
  setsid sh -c '. "$3/program"' inquorate-keeper "${operation##*/}" "${called:-${fence##*.}}" "$fence" "$@" \
    <"${input:-/dev/null}" >/dev/null 2>&1 5<&- 8>&- 9>&- &
}

write_program() {
  printf 'called=$2 fence=$3 operation=${3%%/*}\nshift 3\n%s\n' "$program" >"$fence/program"
}

# Wakes whoever sleeps until something becomes of a fence. It does so by a pipe, which only they have open.
wake() {
  at=$fence
  ! sharing || at=$shared
  ! [ -p "$at/wake" ] || echo 1<>"$at/wake"
}

# --- what a mechanism may define again ---

watchers() { :; }
sharing() { false; }
stand_up() { :; }
stand_ahead() { :; }
hand_over() { :; }

# Takes members of an attempt.
sound() {
  for member; do
    fence=$operation/$attempt.$member
    wake
  done
}

# --- looking ---

# Looks at a process and touches nothing: the process in four words, and the mechanism's own.
preflight() {
  hello
  [ -z "$problem" ] || answer impossible "$problem"
  well_formed "$1" "$2" "$3" "$4" || answer mistaken "the process is not fully named"
  for tool in mkdir mv ln readlink date rm tr stat cat $tools; do
    command -v $tool >/dev/null || answer impossible "the host has no $tool"
  done
  judge_member "$1" "$2" "$3" "$4" || answer "$verdict" "$problem"
  pid=$1 start=$2 exe=$3 directory=$4 grade=Keeper
  shift 4
  fits "$@" || answer "$verdict" "$problem"
  printf '%s\n' "ready $grade"
  watchers "$pid"
  exit 0
}

# --- prepare, then go ---

refuse_late() {
  note_late
  late_by="the order came late by $((now - start_by)) ms"
  note refused "$late_by"
  answer late "$late_by"
}

# Takes an order and makes everything ready for its go. This touches nothing of the member. The words are: operation,
# attempt, member, epoch, the process in four words, until when on the uptime a go may come, the boot, the member's name for
# people, and the mechanism's own words.
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
  judge_member "$pid" "$start" "$exe" "$directory" || refuse "$problem"
  [ -z "$container" ] || directory_key "$pid" "$directory" >"$fence/place" || refuse "the state directory cannot be written"
  shift 11
  make_ready "$@"
}

prepare() {
  start_by=$9
  get_ready "$@"
  answer preparing
}

# Takes how many words an order to prepare has, and such orders one after the other. All are prepared side by side, and each
# answer begins with its member.
prepare_all() {
  size=$1
  shift
  is_number "$size" && [ "$size" -ge 11 ] || answer refused "the order is malformed"
  # The folder that all of them need is made by one program. What is wrong with it each of them says by itself.
  (open_record "$1" "$2" "$3" "$4") >/dev/null
  together prepare_each "$@"
}

prepare_each() {
  offset=0 parts=
  while [ $((offset + size)) -le $# ]; do
    (
      shift "$offset"
      count=$# taken=0
      for word; do
        [ "$taken" -lt "$size" ] || break
        set -- "$@" "$word"
        taken=$((taken + 1))
      done
      shift "$count"
      answering="$3 "
      prepare "$@"
    ) 9>&- &
    parts="$parts $!"
    offset=$((offset + size))
  done
  stand_ahead "$@" >/dev/null
  wait $parts
  hand_over >/dev/null
}

# Does this, and waits until all that it starts has said how it stands, or is dead: nobody has descriptor 8 open then. What
# it starts may read from descriptor 5, which ends once this is done, or dead.
together() {
  {
    { : | { exec 5<&0 9>/proc/self/fd/0 && "$@"; } 8>&1 >&6 6>&-; } | while read -r _; do :; done
  } 6>&1
}

# Opens a fence that this very session has prepared. The session has looked at its folder then, so it starts no program to
# look again: a go must be quick.
reopen_fence() {
  is_name "$1" && is_number "$2" && is_name "$3" && is_number "$4" || answer refused "the order is malformed"
  open_boot
  operation=$state_root/$records/$1
  fence=$operation/$2.$3 mark=$1.$2.$3 epoch=$4
  [ -d "$operation/epoch.$epoch" ] || mkdir "$operation/epoch.$epoch" 2>/dev/null ||
    answer refused "the state directory $state_root cannot be written"
}

# Takes operation, attempt, epoch and members: says of each that it is prepared, or why not.
ready() {
  of="$1 $2" operation=$state_root/$records/$1 attempt=$2 epoch_=$3
  is_name "$1" && is_number "$2" || answer refused "the order is malformed"
  shift 3
  for member; do is_name "$member" || answer refused "the order is malformed"; done
  raise "$@"
  for member; do
    fence=$operation/$attempt.$member
    # What stood ready when it was raised needs no part of this program of its own.
    if [ -e "$fence/prepared" ] && ! [ -e "$fence/refused" ] && ! [ -e "$fence/lifted" ]; then
      printf '%s\n' "$member prepared"
      continue
    fi
    (
      answering="$member "
      reopen_fence $of "$member" "$epoch_"
      stands_by || answer refused "the host has nothing prepared for it"
      facts_of_order
      await_ready
      answer prepared
    )
  done
}

# Starts what these members share, where one of them lacks it.
raise() {
  for member; do
    fence=$operation/$attempt.$member
    [ -e "$fence/keepers" ] || { together stand_up "$@" >/dev/null; return; }
  done
}

# Sets start_by once the go is there, whole.
go_given() {
  start_by= end=
  read -r start_by end 2>/dev/null <"$fence/go"
  [ "$end" = . ] && is_number "$start_by"
}

# Gives the go: a file that is written once, whole, and only then heard. A go that comes late touches nothing and may come
# again. Takes until when it may begin, and the deadline by uptime and by UTC.
give_go() {
  is_number "$1" && is_number "$2" && is_number "$3" || answer refused "the order is malformed"
  start_by=$1
  outranked && answer refused "epoch $seen was seen, the order is of epoch $epoch"
  stands_by && [ -e "$fence/prepared" ] || answer refused "the host has nothing prepared for it"
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
  # A worker that raised the epoch before this look is seen here. One that raises it later looks at the fence after that.
  outranked && refuse "epoch $seen was seen, the order is of epoch $epoch"
  true
}

# Takes operation, attempt, epoch, until when it may begin, the deadline by uptime and by UTC, the boot, and members. All
# members get their go first, then all are applied at once, and only then is any waited for.
go() {
  of="$1 $2" operation=$state_root/$records/$1 attempt=$2 epoch_=$3 times="$4 $5 $6" boot_=$7 given= biters=
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
  [ -z "$given" ] || sound $given
  [ -z "$bites" ] || for member in $given; do
    (
      reopen_fence $of "$member" "$epoch_"
      facts_of_order
      bite
    ) >/dev/null 2>&1 &
    look $! && biters="$biters $member:$!:$born"
  done
  for member in $given; do
    (
      answering="$member "
      reopen_fence $of "$member" "$epoch_"
      stands_by
      biter=
      for each in $biters; do
        [ "${each%%:*}" != "$member" ] || biter=${each#*:}
      done
      await_armed
      describe
    )
  done
}

# Waits for what becomes of a go.
await_armed() {
  clock
  limit=$((now + patience + 12000)) looks=0
  until is_armed; do
    if [ -e "$fence/refused" ]; then answer_refused; fi
    if [ -e "$fence/undone" ]; then text_of undone; answer undone "$text"; fi
    [ -e "$fence/lifted" ] && answer undone "it was lifted while it was applied"
    clock
    [ "$now" -le "$limit" ] || answer unknown "the host has not said what became of it"
    if_forsaken
    # Whoever should have woken them may be dead.
    looks=$((looks + 1))
    [ $((looks % 20)) != 0 ] || wake
    sleep 0.002
  done
}

# An order may come again only once nothing of the late one stands by.
answer_refused() {
  text_of refused
  times_late
  case $text in 'the order came late'*) ;; *) answer refused "$text" ;; esac
  stood_down || answer refused "$text"
  answer late "$text"
}

# Prepares an order and gives its go at once.
arm() {
  is_number "$9" && is_number "${10}" && is_number "${11}" || answer refused "the order is malformed"
  start_by=$9 deadline_=${10} deadline_utc_=${11}
  clock
  [ "$now" -lt "$deadline_" ] || answer refused "the deadline had passed"
  first="$1 $2 $3 $4" attempt=$2 member=$3 pid=$5 start=$6 exe=$7 directory=$8
  shift 11
  # What is left are the boot, the name and the mechanism's words.
  get_ready $first "$pid" "$start" "$exe" "$directory" $((start_by + 5000)) "$@"
  raise "$member"
  stands_by
  await_ready
  clock
  if [ "$now" -gt "$start_by" ]; then
    # This order may be given again, so nothing of this try may stand by.
    note_late
    note refused "the order came late by $((now - start_by)) ms"
    wake
    answer_refused
  fi
  give_go "$start_by" "$deadline_" "$deadline_utc_"
  sound "$member"
  bite
  await_armed
  describe
}

# --- what stands ---

# Ends a fence because its worker says so. A fence that no host program took yet is recorded as lifted, so that an order of
# it that comes later is refused.
lift() {
  open_fence "$@"
  outranked && answer refused "epoch $seen was seen, the order is of epoch $epoch"
  if ! [ -d "$fence" ] && mkdir "$fence" 2>/dev/null; then
    mark_maker
    settle Worker || answer unknown "the state directory cannot be written"
  elif ! [ -d "$fence" ]; then
    answer refused "the state directory $state_root cannot be written"
  elif void && ! [ -e "$fence/lifted" ]; then
    settle_void || answer unknown "the state directory cannot be written"
  elif ! void; then
    [ -e "$fence/lifted" ] || true >"$fence/dismissed" || answer unknown "the state directory cannot be written"
    wake
    take_off Worker || answer unknown "$(why_it_stands)"
  fi
  describe
}

# Takes operation, attempt, epoch and members. All of them are marked first, so that none is taken for one that is to stand on
# while the others go. Each answer begins with its member.
lift_all() {
  of="$1 $2" epoch=$3
  is_name "$1" && is_number "$2" && is_number "$3" || answer refused "the order is malformed"
  operation=$state_root/$records/$1 attempt=$2
  shift 3
  for member; do is_name "$member" || answer refused "the order is malformed"; done
  [ -d "$operation/epoch.$epoch" ] && ! outranked && for member; do
    fence=$operation/$attempt.$member
    ! [ -e "$fence/order" ] || [ -e "$fence/lifted" ] || true >"$fence/dismissed"
  done
  for member; do
    (
      answering="$member "
      lift $of "$member" "$epoch"
    ) &
  done
  wait
}

inspect() {
  open_fence "$@"
  describe
}

# Brings the deadline of a fence forward. Takes operation, attempt, member, epoch, the deadline by uptime and by UTC, and
# the boot. The new deadline is recorded before anything else is done, so whoever looks at the fence from then on ends it in
# time, even where this program dies.
tighten() {
  is_number "$5" && is_number "$6" || answer refused "the order is malformed"
  open_fence "$1" "$2" "$3" "$4"
  outranked && answer refused "epoch $seen was seen, the order is of epoch $epoch"
  [ -d "$fence" ] || answer refused "the host has no record of the fence"
  [ -e "$fence/lifted" ] && answer refused "the fence is off already"
  [ -e "$fence/refused" ] && answer refused "the fence was refused"
  [ "$7" = "$boot" ] && ! void || answer refused "the host was restarted since it was last asked"
  deadlines || answer refused "the fence has no deadline yet"
  [ "$6" -le "$deadline_utc" ] || answer refused "the fence ends earlier than that already"
  may_tighten
  true >"$fence/deadline.$5.$6" || answer unknown "the state directory cannot be written"
  bring_forward
  answer tightened
}

# Prints how the fence stands, and sets standing to the same.
describe() {
  [ -d "$fence" ] || answer absent
  if ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ]; then
    if void; then settle_void; else review; fi
  fi
  broken=0
  [ -e "$fence/broken" ] && broken=1
  if [ -e "$fence/lifted" ]; then
    text_of back
    [ -n "$text" ] || text_of broken
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
    muster
    deadlines
    standing="armed $count $armed_utc $deadline_utc $alone $broken $grade"
  else
    standing=arming
  fi
  [ -n "$quietly" ] || printf '%s\n' "$answering$standing"
}

sweep_fence() {
  quietly=1 list=
  describe
  case $standing in
    arming | armed*)
      set_grace
      if [ "$clear" = clear ] && deadlines && clock && [ "$now" -ge $((deadline + grace)) ]; then
        true >"$fence/dismissed"
        take_off Sweep
        describe
      fi
      ;;
  esac
  printf '%s\n' "fence $operation_id $attempt $member $standing"
}

# Tells of all fences of this mechanism; with `clear` it ends those that are past their time, and forgets old ones.
sweep() {
  clear=$1
  open_state || answer refused "$problem"
  is_ours "$state_root/$records" || answer refused "$problem"
  open_boot
  begin_sweep
  utc
  today=$utc
  for operation in "$state_root/$records"/*; do
    operation_id=${operation##*/}
    is_name "$operation_id" || continue
    emptied=
    for fence in "$operation"/[0-9]*.*; do
      [ -d "$fence" ] || continue
      member=${fence##*.} attempt=${fence##*/} attempt=${attempt%%.*}
      is_number "$attempt" && is_name "$member" && is_of_ours || continue
      sweep_fence
      if is_old && is_over; then
        rm -rf "$fence" && emptied=1
      else
        note_place
      fi
    done
    [ -z "$emptied" ] || forget_operation
  done
  end_sweep
  answer swept
}
