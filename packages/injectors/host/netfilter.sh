# The netfilter program: one POSIX-shell program that stands a cut in the kernel of its host and then ends. No process
# of ours remains; the kernel ends the cut.
#
# - A fence is one nftables table, made in one transaction with `create`, so a repeated order is refused by the kernel
#   as well as by the records. Its name carries operation, attempt and member; no other table is ever touched.
# - Whoever may change the kernel writes its pid first and looks after whether the fence was lifted; a lift says so
#   first, then ends those it finds, then deletes the table and looks whether it is gone.
# - The kernel tells no end of its own: a fence whose deadline passed and whose elements are gone ended at the deadline.
#
# Uses sh, awk, /proc, coreutils and `nft`, and `nsenter` of util-linux for members in a network namespace of their own.
# shellcheck shell=sh

# --- the fence ---

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
  open_record netfilter "$@"
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
    [ -e "$fence/dismissed" ] || [ -e "$fence/lifted" ] && exit 91
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

preflight() {
  hello
  [ -z "$problem" ] || answer impossible "$problem"
  well_formed "$1" "$2" "$3" "$4" || answer mistaken "the process is not fully named"
  for tool in nft awk cksum stat ls cat tr mkdir mv ln readlink date rm; do
    command -v $tool >/dev/null || answer impossible "the host has no $tool"
  done
  judge_reachable "$1" "$2" "$3" "$4" || answer "$verdict" "$problem"
  pid=$1
  [ /proc/self/ns/net -ef "/proc/$pid/ns/net" ] || command -v nsenter >/dev/null || answer impossible "the host has no nsenter"
  find_cut "$5" "$6" "$7" || answer impossible "$problem"
  enter "$(stat -Lc %i "/proc/$pid/ns/net")" "/proc/$pid/ns/net" || answer impossible "this user may not enter the network namespace of process $pid"
  table=inq_check left=1000 wall=$((utc / 1000))
  complaint=$(print_table | nft_here -c -f - 2>&1) || answer impossible "nftables refuses the rules: $(printf '%s' "$complaint" | head -n 1)"
  answer ready Kernel
}

refuse() {
  note refused "$1"
  answer refused "$1"
}

# The kernel has taken nothing yet.
refuse_late() {
  note_late
  note refused "$1"
  answer late "$1"
}

is_over() {
  [ -e "$fence/refused" ]
}

undo() {
  why=$1
  note undone "$why"
  remove_table || answer unknown "$why; $problem"
  settle Worker || answer unknown "$why; the state directory cannot be written"
  answer undone "$why"
}

arm() {
  is_number "$9" && is_number "${10}" && is_number "${11}" && well_formed "$5" "$6" "$7" "$8" ||
    answer refused "the order is malformed"
  open_fence "$1" "$2" "$3" "$4"
  pid=$5 start_by=$9
  take_order
  printf '%s\n' "$boot" "$5 $6 $epoch $start_by" "$7" "$8" >"$fence/order" &&
    true >"$fence/deadline.${10}.${11}" || refuse "the state directory cannot be written"
  outranked && refuse "epoch $seen was seen, the order is of epoch $epoch"
  [ "${12}" = "$boot" ] || refuse "the host was restarted since it was last asked"
  clock
  [ "$now" -le "$start_by" ] || refuse_late "the order came late by $((now - start_by)) ms"
  [ "$now" -lt "${10}" ] || refuse "the deadline had passed"
  judge_reachable "$5" "$6" "$7" "$8" || refuse "$problem"
  [ -z "$container" ] || directory_key "$5" "$8" >"$fence/place" || refuse "the state directory cannot be written"
  shift 13
  find_cut "$1" "$2" "$3" || refuse "$problem"
  namespace=$(stat -Lc %i "/proc/$pid/ns/net")
  enter "$namespace" "/proc/$pid/ns/net" || refuse "this user may not enter the network namespace of process $pid"
  printf '%s\n' "$namespace $pid" >"$fence/namespace" && printf '%s\n' "$way" >"$fence/way" ||
    refuse "the state directory cannot be written"
  deadlines || refuse "the order has no deadline"
  if ! act print_table; then
    case $problem in
      'the order came'*) refuse_late "$problem" ;;
      'the state directory'* | 'it was lifted'* | 'a higher epoch'* | 'the deadline had'*) refuse "$problem" ;;
      *) undo "$problem" ;;
    esac
  fi
  [ "$way" = Addresses ] || cut_late_comers || undo "$problem"
  clock
  [ "$now" -le "$start_by" ] && [ "$now" -lt "$deadline" ] || undo "the kernel took the rules too late"
  utc
  true >"$fence/armed.$now.$utc.1" || undo "the state directory cannot be written"
  describe
}

# No new connection comes to be once the table stands, so a list made after that is whole.
cut_late_comers() {
  before="$dialled "
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

# True where the member was started again in another network namespace, which the cut does not reach.
went_elsewhere() {
  { read -r _ && read -r was was_born _ && IFS= read -r was_exe && IFS= read -r was_in; } 2>/dev/null <"$fence/order" || return 1
  replaced "$was" "$was_born" "$was_exe" "$was_in" || return 1
  [ "$(stat -Lc %i "/proc/$successor/ns/net" 2>/dev/null)" != "$ordered" ]
}

# Prints how the fence stands, in "standing" too. A fence whose time is over and that the kernel let go is settled.
describe() {
  standing= gone=
  [ -d "$fence" ] || answer absent
  void && ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ] && settle_void
  if ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ] && deadlines && enter_ordered; then
    elements=$(standing_elements)
    clock
    if [ -z "$elements" ] && [ "$now" -ge "$deadline" ]; then
      retire_appliers && remove_table && settle_expired
    elif is_armed && ! [ -e "$fence/dismissed" ] && { [ -z "$elements" ] || went_elsewhere; }; then
      true >"$fence/broken"
    fi
  elif [ -n "$gone" ] && is_armed && deadlines && clock; then
    if [ "$now" -ge "$deadline" ]; then
      settle_expired
    elif ! [ -e "$fence/dismissed" ] && went_elsewhere; then
      true >"$fence/broken"
    fi
  fi
  broken=0
  [ -e "$fence/broken" ] && broken=1
  if [ -e "$fence/lifted" ]; then
    read -r off when by <"$fence/lifted"
    since_off
    standing="lifted $by $when $broken $ago"
  elif [ -e "$fence/refused" ]; then
    text_of refused
    standing="refused $text"
  elif is_armed; then
    file=${file##*/armed.}
    count=${file##*.} file=${file%.*}
    standing="armed $count ${file##*.} $deadline_utc 0 $broken Kernel"
  else
    standing=arming
  fi
  [ -n "$quietly" ] || printf '%s\n' "$standing"
}

tighten() {
  open_to_tighten "$@"
  is_armed && deadlines || answer refused "the fence does not stand yet"
  [ "$6" -le "$deadline_utc" ] || answer refused "the fence ends earlier than that already"
  enter_ordered || answer refused "the member's network namespace is gone"
  standing=$(standing_elements)
  [ -n "$standing" ] || answer refused "the fence is off already"
  # On record first: whoever looks from here on ends the fence at the nearer time, whatever becomes of us.
  true >"$fence/deadline.$5.$6" || answer unknown "the state directory cannot be written"
  deadlines
  read -r way <"$fence/way"
  start_by=
  clock
  if [ "$now" -ge "$deadline" ]; then
    retire_appliers && remove_table && settle_expired || answer unknown "${problem:-the state directory cannot be written}"
    answer tightened
  fi
  act print_tightening && answer tightened
  case $problem in 'it was lifted'* | 'a higher epoch'*) answer refused "$problem" ;; esac
  [ -n "$(standing_elements)" ] || answer refused "the fence is off already"
  answer unknown "$problem"
}

sweep_fence() {
  quietly=1
  describe
  case $standing in
    arming | armed*)
      if [ "$clear" = clear ] && deadlines && clock && [ "$now" -ge "$deadline" ]; then
        true >"$fence/dismissed"
        take_off Sweep
        describe
      fi
      ;;
  esac
  printf '%s\n' "fence $operation_id $attempt $member $standing"
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
      [ "$clear" = clear ] && [ -z "$(standing_elements)" ] && remove_table
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

sweep() {
  clear=$1 places=
  open_state || answer refused "$problem"
  is_ours "$state_root/netfilter" || answer refused "$problem"
  # Who may not use nftables made no table; what was made with more rights cannot be looked at with less.
  may 12 || for fence in "$state_root"/netfilter/*/[0-9]*.*; do
    [ -d "$fence" ] && ! [ -e "$fence/lifted" ] && ! [ -e "$fence/refused" ] || continue
    answer refused "this user lacks CAP_NET_ADMIN, which nftables needs"
  done
  open_boot
  utc
  today=$utc
  sum_root
  for operation in "$state_root"/netfilter/*; do
    operation_id=${operation##*/}
    is_name "$operation_id" || continue
    emptied=
    for fence in "$operation"/[0-9]*.*; do
      [ -d "$fence" ] || continue
      member=${fence##*.} attempt=${fence##*/} attempt=${attempt%%.*}
      is_number "$attempt" && is_name "$member" || continue
      name_table "$operation_id" "$attempt" "$member"
      sweep_fence
      is_old && rm -rf "$fence" && emptied=1 && continue
      note_place
    done
    [ -z "$emptied" ] || forget_operation
  done
  may 12 || answer swept
  inside=
  here=${here:-$(stat -Lc %i /proc/self/ns/net)}
  [ "$clear" != clear ] || [ -z "$places" ] || ! may 21 || sweep_places
  inside=
  timeout 5 nft list tables inet >/dev/null 2>&1
  [ $? != 124 ] || answer refused "nft did not list the tables of this host within 5 s"
  sweep_tables
  answer swept
}
