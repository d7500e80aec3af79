# The records of fences on their host, and the words that every program sent there knows. Shell text.
#
# - An order is taken by creating its directory, which can be done once. Then it looks for a higher epoch; whoever
#   raises the epoch creates that first and looks at the fences after, so one of the two always sees the other.
# - Deadlines are files named by their time, and the earliest counts: no race of writers can move one back.
# - The end of a fence is written once, by `link`, in uptime and UTC. A record of another boot is void.
#
# State: `$INQUORATE_STATE`, else `/var/lib/inquorate` for root, else `$XDG_STATE_HOME/inquorate` or
# `~/.local/state/inquorate`; in it, below a folder of the program's, `<operation>/{epoch.<n>,<attempt>.<member>}`.
# shellcheck shell=sh

# --- records ---

# Sets state_root, with these folders in it, and effective to the user.
open_root() {
  while read -r key _ effective _; do [ "$key" = Uid: ] && break; done </proc/self/status
  state_root=$INQUORATE_STATE
  if [ -z "$state_root" ]; then
    if [ "$effective" = 0 ]; then
      state_root=/var/lib/inquorate
    else
      state_root=${XDG_STATE_HOME:-$HOME/.local/state}/inquorate
    fi
  fi
  problem="the state directory $state_root cannot be written"
  case $state_root in /*) ;; *) return 1 ;; esac
  for folder in "$@"; do
    [ -d "$state_root/$folder" ] || mkdir -p "$state_root/$folder" 2>/dev/null
    [ -w "$state_root/$folder" ] || return 1
  done
  problem="the state directory $state_root belongs to another user"
  [ -O "$state_root" ] || return 1
  problem=
}

open_boot() {
  read -r boot </proc/sys/kernel/random/boot_id
}

# Takes folder, operation, attempt, member and epoch, and makes the epoch the least that is obeyed from here on.
open_record() {
  is_name "$2" && is_number "$3" && is_name "$4" && is_number "$5" || answer refused "the order is malformed"
  open_state || answer refused "$problem"
  open_boot
  operation=$state_root/$1/$2
  fence=$operation/$3.$4
  epoch=$5
  [ -d "$operation/epoch.$epoch" ] || mkdir -p "$operation/epoch.$epoch" 2>/dev/null
  [ -d "$operation/epoch.$epoch" ] || answer refused "the state directory $state_root cannot be written"
}

# Opens the fence of an order to tighten it: operation, attempt, member, epoch, the deadline by
# uptime and by UTC, boot.
open_to_tighten() {
  is_number "$5" && is_number "$6" || answer refused "the order is malformed"
  open_fence "$1" "$2" "$3" "$4"
  outranked && answer refused "epoch $seen was seen, the order is of epoch $epoch"
  [ -d "$fence" ] || answer refused "the host has no record of the fence"
  [ -e "$fence/lifted" ] && answer refused "the fence is off already"
  [ -e "$fence/refused" ] && answer refused "the fence was refused"
  [ "$7" = "$boot" ] && ! void || answer refused "the host was restarted since it was last asked"
}

# Takes the order whose folder the fence is, once. An order that came late touched nothing: it may be taken again, once
# for each time that it was late.
take_order() {
  mkdir "$fence" 2>/dev/null && return 0
  [ -d "$fence" ] || answer refused "the state directory $state_root cannot be written"
  times_late
  [ "$late" -gt 0 ] && ! [ -e "$fence/lifted" ] && ! is_armed && is_over || answer refused "this order was given before"
  mkdir "$fence/again.$late" 2>/dev/null || answer refused "this order was given before"
  rm -f "$fence"/deadline.* "$fence/order" "$fence/keepers" "$fence/ready" "$fence/processes" "$fence/refused"
}

# Sets late to how often this order was refused for no other reason than that it came late.
times_late() {
  late=0
  while [ -e "$fence/late.$((late + 1))" ]; do late=$((late + 1)); done
}

# Says that the order came late, before it says that it was refused.
note_late() {
  times_late
  true >"$fence/late.$((late + 1))"
}

outranked() {
  for seen in "$operation"/epoch.*; do
    seen=${seen##*.}
    is_number "$seen" && [ "$seen" -gt "$epoch" ] && return 0
  done
  return 1
}

# A fence ordered before this boot is void: its processes, its rules and its uptime are gone.
void() {
  ordered_boot=
  read -r ordered_boot 2>/dev/null <"$fence/order"
  [ -n "$ordered_boot" ] && [ "$ordered_boot" != "$boot" ]
}

# The earliest deadline on record. Each is a file named by it, so no order of writing can ever move it back.
deadlines() {
  deadline= deadline_utc=
  for file in "$fence"/deadline.*; do
    file=${file##*/deadline.}
    is_number "${file%.*}" && is_number "${file#*.}" || continue
    [ -n "$deadline" ] && [ "$deadline" -le "${file%.*}" ] || deadline=${file%.*}
    [ -n "$deadline_utc" ] && [ "$deadline_utc" -le "${file#*.}" ] || deadline_utc=${file#*.}
  done
  [ -n "$deadline" ]
}

is_armed() {
  for file in "$fence"/armed.*; do
    [ -e "$file" ] && return 0
  done
  return 1
}

# Records the end of the fence, once: a link is made whole or not at all. Who, and its uptime and UTC if not now.
settle() {
  [ -e "$fence/lifted" ] && return 0
  clock
  utc
  printf '%s %s %s\n' "${2:-$now}" "${3:-$utc}" "$1" >"$fence/lifted.$$" && ln "$fence/lifted.$$" "$fence/lifted" 2>/dev/null
  [ -e "$fence/lifted" ] || return 1
  forget
}

# What a program has to do once the end of a fence is on record.
forget() { :; }

settle_void() {
  clock
  utc
  settle Sweep 0 $((utc - now))
}

note() {
  utc
  printf '%s %s\n' "$utc" "$2" >"$fence/$1.$$" && mv "$fence/$1.$$" "$fence/$1"
}

text_of() {
  when= text=
  read -r when text 2>/dev/null <"$fence/$1"
}

# True where the fence ended more than seven days ago.
is_old() {
  [ "$clear" = clear ] || return 1
  when=
  if [ -e "$fence/lifted" ]; then
    read -r _ when _ <"$fence/lifted"
  elif [ -e "$fence/refused" ]; then
    text_of refused
  fi
  is_number "$when" && [ $((today - when)) -gt 604800000 ]
}

forget_operation() {
  for fence in "$operation"/[0-9]*.*; do
    [ -d "$fence" ] && return 0
  done
  rm -rf "$operation"
}

hello() {
  open_state
  open_boot
  machine=unknown
  read -r machine 2>/dev/null </etc/machine-id
  clock
  utc
  printf '%s\n' "hello ${machine:-unknown} $boot $now $utc $state_root"
}
