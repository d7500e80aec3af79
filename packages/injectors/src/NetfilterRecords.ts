/**
 * The first part of the netfilter program: the records of its fences on the host.
 *
 * - An order is taken by creating its directory, which can be done once. Then it looks for a higher epoch; whoever
 *   raises the epoch creates that first and looks at the fences after, so one of the two always sees the other.
 * - Deadlines are files named by their time, and the earliest counts: no race of writers can move one back.
 * - The end of a fence is written once, by `link`, in uptime and UTC. A record of another boot is void.
 *
 * State: `$INQUORATE_STATE`, else `/var/lib/inquorate` for root, else `$XDG_STATE_HOME/inquorate` or
 * `~/.local/state/inquorate`; in it `netfilter/<operation>/{epoch.<n>,<attempt>.<member>}`.
 */

/** Shell functions that keep the records of fences; they stand on those of `ProcessFacts`. */
export const records = `# --- state ---

open_state() {
  while read -r key _ effective _; do [ "$key" = Uid: ] && break; done </proc/self/status
  state_root=$INQUORATE_STATE
  if [ -z "$state_root" ]; then
    if [ "$effective" = 0 ]; then
      state_root=/var/lib/inquorate
    else
      state_root=\${XDG_STATE_HOME:-$HOME/.local/state}/inquorate
    fi
  fi
  problem="the state directory $state_root cannot be written"
  case $state_root in /*) ;; *) return 1 ;; esac
  [ -d "$state_root/netfilter" ] || mkdir -p "$state_root/netfilter" 2>/dev/null
  [ -w "$state_root/netfilter" ] || return 1
  problem="the state directory $state_root belongs to another user"
  [ -O "$state_root" ] || return 1
  problem=
}

open_boot() {
  read -r boot </proc/sys/kernel/random/boot_id
}

# The name carries operation, attempt and member, so that a table tells whose it is without any record, and a checksum
# of the state directory, so that workers with different ones do not take each other's tables for strays.
name_table() {
  [ -n "$root_sum" ] || sum_root
  table=inq_$(printf '%s' "$1" | tr -d -)_$2_$3_$root_sum
}

sum_root() {
  root_sum=$(printf '%s' "$state_root" | cksum)
  root_sum=\${root_sum%% *}
}

# Takes operation, attempt, member and epoch, and makes the epoch the least that is obeyed from here on.
open_fence() {
  is_name "$1" && is_number "$2" && is_name "$3" && is_number "$4" || answer refused "the order is malformed"
  open_state || answer refused "$problem"
  open_boot
  operation=$state_root/netfilter/$1
  fence=$operation/$2.$3
  epoch=$4
  name_table "$1" "$2" "$3"
  case $table in
    inq_????????????????????????????????_*) [ \${#table} -le 255 ] || answer refused "the fence's name is too long" ;;
    *) answer refused "the order is malformed" ;;
  esac
  [ -d "$operation/epoch.$epoch" ] || mkdir -p "$operation/epoch.$epoch" 2>/dev/null
  [ -d "$operation/epoch.$epoch" ] || answer refused "the state directory $state_root cannot be written"
}

outranked() {
  for seen in "$operation"/epoch.*; do
    seen=\${seen##*.}
    is_number "$seen" && [ "$seen" -gt "$epoch" ] && return 0
  done
  return 1
}

# A fence ordered before this boot is void: its table and its uptime are gone.
void() {
  ordered_boot=
  read -r ordered_boot 2>/dev/null <"$fence/order"
  [ -n "$ordered_boot" ] && [ "$ordered_boot" != "$boot" ]
}

# The earliest deadline on record. Each is a file named by it, so no order of writing can ever move it back.
deadlines() {
  deadline= deadline_utc=
  for file in "$fence"/deadline.*; do
    file=\${file##*/deadline.}
    is_number "\${file%.*}" && is_number "\${file#*.}" || continue
    [ -n "$deadline" ] && [ "$deadline" -le "\${file%.*}" ] || deadline=\${file%.*}
    [ -n "$deadline_utc" ] && [ "$deadline_utc" -le "\${file#*.}" ] || deadline_utc=\${file#*.}
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
  printf '%s %s %s\\n' "\${2:-$now}" "\${3:-$utc}" "$1" >"$fence/lifted.$$" && ln "$fence/lifted.$$" "$fence/lifted" 2>/dev/null
  [ -e "$fence/lifted" ]
}

settle_void() {
  clock
  utc
  settle Sweep 0 $((utc - now))
}

# The kernel writes down no end of its own; what it was told to keep is the moment.
settle_expired() {
  settle Keeper "$deadline" "$deadline_utc"
}

note() {
  utc
  printf '%s %s\\n' "$utc" "$2" >"$fence/$1.$$" && mv "$fence/$1.$$" "$fence/$1"
}

text_of() {
  when= text=
  read -r when text 2>/dev/null <"$fence/$1"
}
`
