# The cut: one nftables table in the kernel of the member's host, which the kernel ends by itself. From the go on no process
# of ours is needed.
#
#              prepare                                 go                                   deadline, or lift
#   order  -> a table in which nothing cuts         -> rules and elements, each with     -> lifted: the table is gone
#             and one process beside it                a time; the process is gone
#                |
#                '-> refused: late (may come again), outranked, mistaken, or no go in time: the table is taken away
#
# - A fence is one table. Its name carries operation, attempt and member; no other table is ever touched. `create` makes the
#   table and its elements, each once: the kernel refuses a repeated order as the records do.
# - What cuts is one transaction on a table that is there. Where a lift took the table, a late go comes to nothing.
# - Whoever may change the kernel writes its pid first and looks after whether the fence was lifted or refused; a lift says
#   so first, then ends those it finds, then deletes the table and looks whether it is gone.
# - The go is a file that can be made once. The process beside the table takes its place when the time for it is over.
# - The kernel tells no end of its own: a fence whose deadline passed and whose elements are gone ended at the deadline.
#
# Uses sh, awk, /proc, coreutils and `nft`, and of util-linux `setsid`, and `nsenter` for members in a network namespace of
# their own. In a fence's folder: `order`, `standby.<until>`, `namespace`, `way`, `cut` (what is to be cut), `table` (its
# name), `keeper.<pid>.<start>`, `applier.<pid>.<start>` (who may change the kernel), `prepared`, `wake` (a pipe), `go`,
# `deadline.<uptime>.<utc>`, `rules.<what>`, `complaint`, `armed.<uptime>.<utc>.1`, `broken`, `dismissed`, `refused`, `undone`,
# `lifted`.
# shellcheck shell=sh

# --- the fence ---

records=netfilter
tools='nft awk cksum ls setsid sleep mkfifo timeout head'

open_state() {
  open_root netfilter
}

# The name carries operation, attempt and member, so that a table tells whose it is without any record, and a checksum
# of the state directory, so that workers with different ones do not take each other's tables for strays.
name_table() {
  [ -n "$root_sum" ] || sum_root
  table=inq_$(printf '%s' "$1" | tr -d -)_$2_$3_$root_sum
}

sum_root() {
  root_sum=$(printf '%s' "$state_root" | cksum)
  root_sum=${root_sum%% *}
}

# Takes operation, attempt, member and epoch, and makes the epoch the least that is obeyed from here on.
open_fence() {
  case $1 in
    ????????-????-????-????-????????????) [ ${#3} -le 200 ] || answer refused "the fence's name is too long" ;;
    *) answer refused "the order is malformed" ;;
  esac
  open_record "$@"
  name_table "$1" "$2" "$3"
}

# The kernel writes down no end of its own; what it was told to keep is the moment.
settle_expired() {
  settle Kernel "$deadline" "$deadline_utc"
}

# Hands a transaction to the kernel, by one process that a lift can end. Like everybody who may change the kernel, it
# says so first and looks after whether it still may; a frozen one that thaws is bound by the wall clock in its rules.
act() {
  (
    read -r self _ </proc/self/stat
    look "$self" && true >"$fence/applier.$self.$born" || exit 90
    [ -e "$fence/dismissed" ] || [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] && exit 91
    outranked && exit 92
    utc
    clock
    left=$((deadline - now)) wall=$(((utc + deadline - now + 999) / 1000))
    [ "$left" -gt 0 ] || exit 93
    [ -z "$start_by" ] || [ "$now" -le "$start_by" ] || exit 94
    "$1" >"$fence/rules.$1" || exit 90
    if [ -n "$inside" ]; then
      exec nsenter --net=/proc/self/fd/9 nft -f "$fence/rules.$1" 2>"$fence/complaint"
    else
      exec nft -f "$fence/rules.$1" 2>"$fence/complaint"
    fi
  )
  case $? in
    0) problem= ;;
    90) problem="the state directory cannot be written" ;;
    91) problem="it was lifted meanwhile" ;;
    92) problem="a higher epoch was seen" ;;
    93) problem="the deadline had passed" ;;
    94) problem="the order came late" ;;
    *)
      complaint=
      read -r complaint 2>/dev/null <"$fence/complaint"
      problem=${complaint:-nft was ended}
      ;;
  esac
  [ -z "$problem" ]
}

# Ends everybody who might still change the kernel for this fence, and waits until they are gone.
retire_appliers() {
  for file in "$fence"/applier.*; do
    file=${file##*/applier.}
    is_number "${file%.*}" && is_number "${file#*.}" || continue
    retire "${file%.*}" "${file#*.}" && continue
    problem="process ${file%.*} of ours could not be ended"
    return 1
  done
  return 0
}

# A record among the cuts needs no mark of who made it.
mark_maker() { :; }

why_it_stands() {
  printf '%s' "${problem:-the state directory cannot be written}"
}

take_off() {
  [ -e "$fence/lifted" ] && return 0
  retire_appliers || return 1
  if enter_ordered; then
    expired=
    deadlines && clock && [ "$now" -ge "$deadline" ] && is_armed && [ -z "$(standing_elements)" ] && expired=1
    remove_table || return 1
    [ -z "$expired" ] || { settle_expired; return; }
  elif [ -n "$gone" ] && [ "$effective" != 0 ]; then
    # An ordinary user does not see every namespace, so not to find one proves nothing.
    problem="the member's network namespace cannot be found by this user"
    return 1
  fi
  settle "$1"
}

# --- the verbs ---

judge_member() {
  judge_reachable "$@"
}

fits() {
  verdict=impossible grade=Kernel
  problem="the host has no nsenter"
  [ /proc/self/ns/net -ef "/proc/$pid/ns/net" ] || command -v nsenter >/dev/null || return 1
  find_cut "$1" "$2" "$3" || return 1
  problem="this user may not enter the network namespace of process $pid"
  enter "$(stat -Lc %i "/proc/$pid/ns/net")" "/proc/$pid/ns/net" || return 1
  table=inq_check left=1000 wall=$((utc / 1000))
  complaint=$({ print_sets; print_cut; } | nft_here -c -f - 2>&1) && return 0
  problem="nftables refuses the rules: $(printf '%s' "$complaint" | head -n 1)"
  return 1
}

# --- prepare ---

open_session() {
  here=$(stat -Lc %i /proc/self/ns/net)
}

# Finds what is to be cut, and has the kernel take a table for it in which nothing cuts yet. One process waits beside it,
# which takes it away again where no go comes.
make_ready() {
  find_cut "$1" "$2" "$3" || refuse "$problem"
  namespace=$(stat -Lc %i "/proc/$pid/ns/net")
  enter "$namespace" "/proc/$pid/ns/net" || refuse "this user may not enter the network namespace of process $pid"
  printf '%s\n' "$namespace $pid" >"$fence/namespace" && printf '%s\n' "$way" >"$fence/way" &&
    printf '%s\n' "$given" "$own" "$others" "$dialled" "$peers" "$peers6" >"$fence/cut" && printf '%s\n' "$table" >"$fence/table" &&
    write_program && mkfifo "$fence/wake" || refuse "the state directory cannot be written"
  launch keep
  look $! && true >"$fence/applier.$!.$born" && true >"$fence/keeper.$!.$born" || refuse "the process beside the table did not start"
  deadline=$standby
  act print_sets || refuse "$problem"
  true >"$fence/prepared" || refuse "the state directory cannot be written"
}

# Preparing was done before it was answered.
await_ready() {
  if [ -e "$fence/refused" ]; then answer_refused; fi
  [ -e "$fence/prepared" ] || answer refused "the host has nothing prepared for it"
}

stands_by() {
  standing_by
}

# The process beside a prepared table. It ends as soon as it is of no use: killed before that, it leaves a table that drops
# nothing, and whoever looks at the fence next takes it away.
keep() {
  state_root=${operation%/*/*}
  standing_by || exit 0
  trap '' HUP INT QUIT
  cd /
  exec 7<>"$fence/wake" || exit 0
  until go_given || [ -e "$fence/refused" ] || [ -e "$fence/dismissed" ] || [ -e "$fence/lifted" ]; do
    clock
    if [ "$now" -gt "$standby" ]; then
      forgo
      break
    fi
    timeout $(((standby - now) / 1000 + 1)) head -n 1 <&7 >/dev/null 2>&1
  done
  rm -f "$fence/program" "$fence/wake"
}

# True where the time for a go is over and none came.
unheard() {
  ! is_armed && standing_by && clock && [ "$now" -gt "$standby" ] && ! (go_given)
}

# Takes the place of the go, which can be made once, so that none can come any more, and the table away.
forgo() {
  set -C
  printf 'never .\n' 2>/dev/null >"$fence/go"
  set +C
  (go_given) && return
  note refused "no go came in time: it was never applied"
  read -r table <"$fence/table" && enter_ordered && remove_table
}

# --- go ---

bites=1

# Cuts. Where a process was started again, or went elsewhere, the table would not mean it.
bite() {
  read -r table <"$fence/table" && read -r way <"$fence/way" && go_given && deadlines || refuse "the record of the fence cannot be read"
  {
    IFS= read -r given
    IFS= read -r own
    IFS= read -r others
    IFS= read -r dialled
    IFS= read -r peers
    IFS= read -r peers6
  } <"$fence/cut"
  alive "$pid" "$start" || refuse "process $pid has ended"
  enter_ordered || refuse "the network namespace of process $pid cannot be entered any more"
  lives=/proc/self/ns/net
  [ -z "$inside" ] || lives=/proc/self/fd/9
  [ "/proc/$pid/ns/net" -ef "$lives" ] || refuse "process $pid has another network namespace now"
  if ! act print_cut; then
    case $problem in
      'the order came'*)
        remove_table
        refuse_late
        ;;
      'the state directory'* | 'it was lifted'* | 'a higher epoch'* | 'the deadline had'*) refuse "$problem" ;;
      *) undo "$problem" ;;
    esac
  fi
  retire_keeper
  [ "$way" = Addresses ] || cut_late_comers || undo "$problem"
  clock
  [ "$now" -le "$start_by" ] && [ "$now" -lt "$deadline" ] || undo "the kernel took the rules too late"
  utc
  true >"$fence/armed.$now.$utc.1" || undo "the state directory cannot be written"
}

# No new connection comes to be once the table stands, so a list made after that is whole.
cut_late_comers() {
  before="$dialled "
  look "$pid"
  family "$pid:$born"
  given=1 neighbours=
  take_sockets
  fresh=
  for key in $dialled; do
    case $before in *" $key "*) ;; *) fresh="$fresh $key" ;; esac
  done
  dialled=$fresh
  problem=
  [ -z "$dialled" ] || act print_late_comers
}

# The table stands by itself from here on.
retire_keeper() {
  for file in "$fence"/keeper.*; do
    file=${file##*/keeper.}
    is_number "${file%.*}" && retire "${file%.*}" "${file#*.}"
  done
}

if_forsaken() {
  [ -z "$biter" ] || ! alive "${biter%:*}" "${biter#*:}" || return 0
  is_armed || [ -e "$fence/refused" ] || [ -e "$fence/undone" ] || [ -e "$fence/lifted" ] && return
  text_of trouble
  answer unknown "${text:-what applied it was ended before it was done}"
}

refuse() {
  note refused "$1"
  read -r table 2>/dev/null <"$fence/table" && enter_ordered && remove_table
  answer refused "$1"
}

undo() {
  why=$1
  if ! remove_table; then
    note trouble "$why; $problem"
    answer unknown "$why; $problem"
  fi
  note undone "$why"
  settle Worker || answer unknown "$why; the state directory cannot be written"
  answer undone "$why"
}

stood_down() {
  retire_appliers && { ! read -r table 2>/dev/null <"$fence/table" || ! enter_ordered || remove_table; }
}

is_over() {
  [ -d "$fence" ] || return 0
  void && return 0
  [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || return 1
  for file in "$fence"/applier.*; do
    file=${file##*/applier.}
    is_number "${file%.*}" && is_number "${file#*.}" && alive "${file%.*}" "${file#*.}" && return 1
  done
  return 0
}

# What is of no use once a fence is over.
forget() {
  rm -f "$fence/program" "$fence/wake"
}

# --- what stands ---

# True where the member was started again in another network namespace, which the cut does not reach.
went_elsewhere() {
  { read -r _ && read -r was was_born _ && IFS= read -r was_exe && IFS= read -r was_in; } 2>/dev/null <"$fence/order" || return 1
  replaced "$was" "$was_born" "$was_exe" "$was_in" || return 1
  [ "$(stat -Lc %i "/proc/$successor/ns/net" 2>/dev/null)" != "$ordered" ]
}

# A fence whose time is over and that the kernel let go is settled; one that the kernel let go early is broken.
review() {
  gone=
  if unheard; then
    retire_appliers && forgo
    return
  fi
  if deadlines && enter_ordered; then
    # What is applied while the elements are listed is not missing in that list.
    stood=
    is_armed && stood=1
    read_elements || return 0
    # Whoever brought the deadline forward meanwhile said so before the kernel heard it.
    deadlines
    clock
    if [ -z "$elements" ] && [ "$now" -ge "$deadline" ]; then
      retire_appliers && remove_table && settle_expired
    elif [ -n "$stood" ] && ! [ -e "$fence/dismissed" ] && { [ -z "$elements" ] || went_elsewhere; }; then
      true >"$fence/broken"
    fi
  elif [ -n "$gone" ] && is_armed && deadlines && clock; then
    if [ "$now" -ge "$deadline" ]; then
      settle_expired
    elif ! [ -e "$fence/dismissed" ] && went_elsewhere; then
      true >"$fence/broken"
    fi
  fi
}

muster() {
  alone=0 grade=Kernel
}

may_tighten() {
  is_armed || answer refused "the fence does not stand yet"
  enter_ordered || answer refused "the member's network namespace is gone"
  standing=$(standing_elements)
  [ -n "$standing" ] || answer refused "the fence is off already"
}

bring_forward() {
  deadlines
  read -r way <"$fence/way"
  start_by=
  clock
  if [ "$now" -ge "$deadline" ]; then
    retire_appliers && remove_table && settle_expired || answer unknown "${problem:-the state directory cannot be written}"
    return
  fi
  act print_tightening && return
  case $problem in 'it was lifted'* | 'a higher epoch'*) answer refused "$problem" ;; esac
  [ -n "$(standing_elements)" ] || answer refused "the fence is off already"
  answer unknown "$problem"
}

is_of_ours() {
  name_table "$operation_id" "$attempt" "$member"
}

set_grace() {
  grace=0
}

begin_sweep() {
  places=
  # Who may not use nftables made no table; what was made with more rights cannot be looked at with less.
  may 12 || for fence in "$state_root"/netfilter/*/[0-9]*.*; do
    [ -d "$fence" ] && ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ] || continue
    answer refused "this user lacks CAP_NET_ADMIN, which nftables needs"
  done
  sum_root
}

end_sweep() {
  may 12 || return
  inside=
  here=${here:-$(stat -Lc %i /proc/self/ns/net)}
  [ "$clear" != clear ] || [ -z "$places" ] || ! may 21 || sweep_places
  inside=
  timeout 5 nft list tables inet >/dev/null 2>&1
  [ $? != 124 ] || answer refused "nft did not list the tables of this host within 5 s"
  sweep_tables
}

# Prints the tables of the namespace that have our kind of name, for 5 s at most.
tables_here() {
  if [ -n "$inside" ]; then
    timeout 5 nsenter --net=/proc/self/fd/9 nft list tables inet 2>/dev/null
  else
    timeout 5 nft list tables inet 2>/dev/null
  fi | awk '$3 ~ /^inq_[0-9a-f]*_[0-9]*_[0-9a-f]*_[0-9]*$/ && length($3) < 256 { print $3 }'
}

# Looks for the tables of fences that are over, in the namespace that their records name: somebody who was frozen may
# have made one again. Takes the records as lines of "operation fence"; no other table of that namespace is touched.
sweep_recorded() {
  seen=" $(tables_here | tr '\n' ' ') "
  while read -r operation_id file; do
    [ -n "$file" ] || continue
    fence=$state_root/netfilter/$operation_id/$file
    name_table "$operation_id" "${file%%.*}" "${file##*.}"
    case $seen in *" $table "*) remove_table ;; esac
  done <<END
$1
END
}

# Looks at the tables of our own namespace, where nobody makes one without the rights that we need for ours. One of ours
# that no standing fence accounts for is removed, and only such a one; one of another state directory, whose records
# cannot be asked, only if nothing stands in it any more.
sweep_tables() {
  for table in $(tables_here); do
    rest=${table#inq_} hex=${table#inq_}
    hex=${hex%%_*} rest=${rest#*_}
    sum=${rest##*_} rest=${rest%_*}
    attempt=${rest%_*} member=${rest#*_}
    [ ${#hex} = 32 ] && is_number "$attempt" && is_name "$member" || continue
    if [ "$sum" != "$root_sum" ]; then
      [ "$clear" = clear ] && ! is_in_use && remove_table
      continue
    fi
    operation_id=$(printf '%s' "$hex" | sed 's/^\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/')
    operation=$state_root/netfilter/$operation_id
    fence=$operation/$attempt.$member
    known=
    [ -d "$fence" ] && known=1
    [ -n "$known" ] && ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ] && ! void && continue
    left_over=arming
    if [ "$clear" = clear ] && remove_table; then
      utc
      left_over="lifted Sweep $utc 0 -"
    fi
    [ -n "$known" ] && [ "$clear" = clear ] || printf '%s\n' "fence $operation_id $attempt $member $left_over"
  done
}

# Keeps the namespace of a fence that is over, of this boot, with what a table of it would be called.
note_place() {
  [ -e "$fence/lifted" ] || [ -e "$fence/refused" ] || return 0
  ordered= ordered_pid=
  read -r ordered ordered_pid 2>/dev/null <"$fence/namespace"
  is_number "$ordered" && is_number "$ordered_pid" && ! void || return 0
  places="$places$ordered $ordered_pid $operation_id ${fence##*/}
"
}

# Each namespace that a record of this boot names is entered once, the latest sixty of them, and only where it is there.
sweep_places() {
  there=" $(every_place | awk '{ print $1 }' | sort -u | tr '\n' ' ') "
  for ordered in $(printf '%s' "$places" | awk '!($1 in had) { had[$1] = 1; print $1 }' | tail -n 60); do
    [ "$ordered" != "$here" ] || continue
    case $there in *" $ordered "*) ;; *) continue ;; esac
    enter "$ordered" '' && sweep_recorded "$(printf '%s' "$places" | awk -v at="$ordered" '$1 == at { print $3, $4 }')"
  done
}

