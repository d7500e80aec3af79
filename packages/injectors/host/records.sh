# The records of fences on their host. Shell text.
#
# - An order is taken by creating its directory, which can be done once. Then it looks for a higher epoch; whoever
#   raises the epoch creates that first and looks at the fences after, so one of the two always sees the other.
# - Deadlines are files named by their time, and the earliest counts: no race of writers can move one back.
# - The end of a fence is written once, by `link`, in uptime and UTC. A record of another boot is void.
#
# - Nothing is believed that another user could have put there: the state directory, the way to it, and each folder and
#   file of a record are looked at before a byte is read.
#
# State: `$INQUORATE_STATE`, else `/var/lib/inquorate` for root, else `$XDG_STATE_HOME/inquorate` or
# `~/.local/state/inquorate`, as `hosts/StateDirectory.ts` has it for this machine's own programs; in it, below a folder of
# the program's, `<operation>/{epoch.<n>,<attempt>.<member>}`.
# shellcheck shell=sh

# --- records ---

# The modes of these in hexadecimal, and their owners, without following a link.
marks_of() {
  stat -c '%u %f' -- "$@" 2>/dev/null
}

# True where nobody but us and root can have put anything else in this place: every folder on the way to it is root's or
# ours and written by nobody else, but one like /tmp where each may remove only what is his own. A link counts only where
# it is root's or ours, on the way, and then what it leads to is looked at in the same way. $2 is empty where more will be made below.
is_trodden() {
  asked=$1 whole=$2 way=$1 steps=
  while :; do
    steps="$way
$steps"
    [ "$way" = / ] && break
    way=${way%/*}
    way=${way:-/}
  done
  IFS='
'
  set -f
  set -- $steps
  unset IFS
  set +f
  marks=$(marks_of "$@") || return 1
  step_user=
  for mark in $marks; do
    [ -n "$step_user" ] || { step_user=$mark; continue; }
    is_mode "$mark" || return 1
    step_mode=$((0x$mark))
    problem="$1, on the way to the state directory $state_root, belongs to another user"
    [ "$1" != "$state_root" ] || problem="the state directory $state_root belongs to another user"
    case $step_user in 0 | "$effective") ;; *) return 1 ;; esac
    case $((step_mode & 0170000)) in
      $((0040000)))
        problem="others may write to $1, which leads to the state directory $state_root"
        [ "$1" != "$state_root" ] || problem="others may write to the state directory $state_root"
        if [ $((step_mode & 0022)) != 0 ]; then
          # What stands in it was looked at next, and is root's or ours; the last one is our own.
          [ $((step_mode & 01000)) != 0 ] && { [ $# -gt 1 ] || [ -z "$whole" ]; } || return 1
        fi
        ;;
      $((0120000)))
        problem="the state directory $state_root is a link"
        [ $# -gt 1 ] || [ -z "$whole" ] || return 1
        links=$((${links:-0} + 1))
        problem="there are too many links on the way to the state directory $state_root"
        [ "$links" -lt 9 ] || return 1
        problem="the state directory $state_root cannot be entered"
        rest=${asked#"$1"}
        way=$(cd -P -- "$1" 2>/dev/null && pwd -P) || return 1
        is_trodden "${way%/}$rest" "$whole"
        return
        ;;
      *)
        problem="$1, on the way to the state directory $state_root, is no folder"
        return 1
        ;;
    esac
    step_user=
    shift
  done
  problem=
}

# True where every folder and file below these is ours or root's, no link, and written by nobody else. The pipe that wakes a
# keeper counts as a file. What was removed while this looks has no mode, and counts as nothing: any mode is of -0.
is_ours() {
  strange=$(find "$@" -perm -0 \( -perm -0020 -o -perm -0002 -o ! \( -user "$effective" -o -user 0 \) -o \
    ! \( -type d -o -type f -o \( -type p -name wake \) \) \) -print 2>/dev/null | head -c 1)
  problem="what stands in $1 is a link, or belongs to another user, or others may write to it, so nothing of it is believed"
  [ -z "$strange" ] || return 1
  problem=
}

# Sets state_root, with these folders in it, and effective to the user. Nothing is read of it before it was looked at. What
# was looked at once, and is ours, stays ours for as long as this program runs: nobody else may put anything in its place.
open_root() {
  ! is_still_ours "$@" || return 0
  while read -r key _ effective _; do [ "$key" = Uid: ] && break; done </proc/self/status
  state_root=$INQUORATE_STATE
  if [ -z "$state_root" ]; then
    if [ "$effective" = 0 ]; then
      state_root=/var/lib/inquorate
    else
      case $XDG_STATE_HOME in /*) state_root=$XDG_STATE_HOME/inquorate ;; *) state_root=${HOME%/}/.local/state/inquorate ;; esac
    fi
  fi
  problem="the state directory $state_root cannot be written"
  while :; do
    case $state_root in
      *//*) state_root=${state_root%%//*}/${state_root#*//} ;;
      ?*/) state_root=${state_root%/} ;;
      *) break ;;
    esac
  done
  case $state_root/ in
    *'
'* | */../* | */./*) return 1 ;;
    /?*) ;;
    *) return 1 ;;
  esac
  links=0
  if ! [ -e "$state_root" ] && ! [ -L "$state_root" ]; then
    place=$state_root
    until [ -e "$place" ] || [ -L "$place" ]; do place=${place%/*} place=${place:-/}; done
    is_trodden "$place" '' || return 1
    problem="the state directory $state_root cannot be written"
    mkdir -p -- "$state_root" 2>/dev/null
    [ -d "$state_root" ] || return 1
  fi
  is_trodden "$state_root" all || return 1
  problem="the state directory $state_root belongs to another user"
  [ -O "$state_root" ] || return 1
  for folder in "$@"; do
    problem="the state directory $state_root cannot be written"
    [ -d "$state_root/$folder" ] || mkdir "$state_root/$folder" 2>/dev/null
    [ -w "$state_root/$folder" ] || return 1
    problem="$state_root/$folder is a link, or belongs to another user, or others may write to it"
    ! [ -L "$state_root/$folder" ] && [ -O "$state_root/$folder" ] || return 1
    set -- $(marks_of "$state_root/$folder")
    is_mode "$2" && [ $((0x$2 & 0022)) = 0 ] || return 1
  done
  problem=
  looked_at=$state_root
}

is_still_ours() {
  [ -n "$looked_at" ] && is_own_folder "$looked_at" || return 1
  for folder; do is_own_folder "$looked_at/$folder" || return 1; done
  problem=
}

is_own_folder() {
  [ -d "$1" ] && ! [ -L "$1" ] && [ -O "$1" ] && [ -w "$1" ]
}

open_boot() {
  read -r boot </proc/sys/kernel/random/boot_id
}

# True for a folder in which nothing stands, or nothing but ours.
is_sound_folder() {
  ! [ -e "$1" ] && ! [ -L "$1" ] || is_ours "$1"
}

# In a session: looks through the folder of the operation that an order names, once. From then on nobody but us can put
# anything there, as in the state directory.
look_through() {
  is_name "$1" && [ -n "$looked_at" ] && ! is_looked_through "$1" || return
  # A session that is kept may see many operations.
  [ ${#looked_through} -lt 1000 ] || looked_through=
  is_sound_folder "$looked_at/$records/$1" && looked_through="$looked_through $1"
  problem=
}

is_looked_through() {
  case "$looked_through " in *" $1 "*) is_still_ours "$records" ;; *) false ;; esac
}

# Takes operation, attempt, member and epoch, and makes the epoch the least that is obeyed from here on.
open_record() {
  is_name "$1" && is_number "$2" && is_name "$3" && is_number "$4" || answer refused "the order is malformed"
  open_state || answer refused "$problem"
  open_boot
  operation=$state_root/$records/$1
  fence=$operation/$2.$3
  epoch=$4
  is_looked_through "$1" || is_sound_folder "$operation" || answer refused "$problem"
  [ -d "$operation/epoch.$epoch" ] || mkdir -p "$operation/epoch.$epoch" 2>/dev/null
  [ -d "$operation/epoch.$epoch" ] || answer refused "the state directory $state_root cannot be written"
}

# Takes the order whose folder the fence is, once. An order that came late touched nothing: it may be taken again, once
# for each time that it was late.
take_order() {
  mkdir "$fence" 2>/dev/null && return 0
  [ -d "$fence" ] || answer refused "the state directory $state_root cannot be written"
  times_late
  [ "$late" -gt 0 ] && ! [ -e "$fence/lifted" ] && ! is_armed && is_over || answer refused "this order was given before"
  mkdir "$fence/again.$late" 2>/dev/null || answer refused "this order was given before"
  rm -f "$fence"/deadline.* "$fence"/standby.* "$fence/order" "$fence/keepers" "$fence/ready" "$fence/prepared" \
    "$fence/go" "$fence/wake" "$fence/traces" "$fence/holder" "$fence/failed" "$fence/processes" "$fence/called" \
    "$fence/shared" "$fence/apart" "$fence/released" "$fence/loosed" "$fence/refused"
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

# Sets standby to until when a go may come to what was prepared.
standing_by() {
  standby=
  for file in "$fence"/standby.*; do
    is_number "${file##*.}" && standby=${file##*.}
  done
  [ -n "$standby" ]
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
  [ -n "$3" ] || utc
  self
  printf '%s %s %s\n' "${2:-$now}" "${3:-$utc}" "$1" >"$fence/lifted.$self" &&
    ln "$fence/lifted.$self" "$fence/lifted" 2>/dev/null
  [ -e "$fence/lifted" ] || return 1
  forget
}

# What a program has to do once the end of a fence is on record.
forget() { :; }

# Sets ago to how long ago, by uptime, the fence was off; off is the uptime on record, which counts within this boot alone.
since_off() {
  clock
  ago=-
  ! void && is_number "$off" && [ "$off" -gt 0 ] && [ "$off" -le "$now" ] && ago=$((now - off))
}

settle_void() {
  clock
  utc
  settle Sweep 0 $((utc - now))
}

note() {
  utc
  self
  printf '%s %s\n' "$utc" "$2" >"$fence/$1.$self" && mv "$fence/$1.$self" "$fence/$1"
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
