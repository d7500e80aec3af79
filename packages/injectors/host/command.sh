# The command: the user's own `apply` takes a member out, and the keepers run the user's own `lift`, in the end and
# again until it succeeds. Never two lifts of one fence at once. Where there is a `check`, the fence counts as applied
# once it succeeds and as broken when it says no during the hold.
# shellcheck shell=sh

mechanism=command
tools='timeout tail cat'
patience=6000
turn_patience=330000
stuck='the lift did not succeed'

fits() {
  [ "$1" != none ] && return 0
  verdict=impossible problem="no commands are configured for this member"
  return 1
}

keep_settings() {
  problem="no commands are configured for this member"
  [ "$1" = own ] && is_number "$5" && is_number "$6" || return 1
  problem="the state directory cannot be written"
  printf '%s\n' "$2" >"$fence/apply" && printf '%s\n' "$3" >"$fence/lift" || return 1
  [ -z "$4" ] || printf '%s\n' "$4" >"$fence/check" || return 1
  printf '%s %s\n' "$5" "$6" >"$fence/seconds"
}

# Runs one of the commands, bounded; sets code. Its text goes through the environment, which only its own user can read,
# and not through arguments.
run() {
  INQUORATE_PID=$pid INQUORATE_DATA_DIRECTORY=$directory INQUORATE_COMMAND=$(cat "$fence/$1") \
    timeout -k 1 "$2" sh -c 'inquorate=$INQUORATE_COMMAND; unset INQUORATE_COMMAND; eval "$inquorate"' inquorate \
    </dev/null >"$fence/$1.out" 2>&1
  code=$?
  tail -c 4000 "$fence/$1.out" >"$fence/$1.tail"
  mv "$fence/$1.tail" "$fence/$1.out"
  printf '%s\n' "$code" >"$fence/$1.code"
}

ended_with() {
  how="$1 ended with $2"
  [ "$2" = 124 ] && how="$1 took longer than $3 s"
  said=$(tail_of "$fence/$1.out")
  [ -z "$said" ] || how="$how: $said"
}

take_out() {
  read -r apply_seconds lift_seconds <"$fence/seconds" || decline "the state directory cannot be read"
  true >"$fence/applying" || decline "the state directory cannot be written"
  run apply "$apply_seconds"
  ended_with apply "$code" "$apply_seconds"
  [ "$code" = 0 ] || undo "$how"
  count=1
  [ -e "$fence/check" ] || return 0
  clock
  limit=$((now + 1000))
  until run check 1 && [ "$code" = 0 ]; do
    clock
    ended_with check "$code" 1
    [ "$now" -le "$limit" ] || undo "the member is not out, $how"
    sleep 0.02
  done
}

put_back() {
  read -r apply_seconds lift_seconds <"$fence/seconds"
  # What was started for an earlier turn is the same lift: it is waited for rather than run beside.
  earlier_child || start_child perform
  while alive "$child" "$child_born"; do sleep 0.01; done
  code=
  read -r code 2>/dev/null <"$fence/lift.code"
  ended_with lift "${code:-nothing}" "$lift_seconds"
  outcome=$how problem=$how
  [ "$code" = 0 ]
}

perform() {
  fence=$1 turn=$2
  facts_of_order
  still_counts || exit 0
  read -r apply_seconds lift_seconds <"$fence/seconds"
  rm -f "$fence/lift.code"
  run lift "$lift_seconds"
}

free_untaken() {
  :
}

watch() {
  [ -e "$fence/broken" ] && return 0
  [ -e "$fence/check" ] && looks_out && [ "$left" -gt 2500 ] || return 0
  [ "$now" -ge "${look_again:-0}" ] || return 0
  look_again=$((now + 500))
  escaped || return 0
  note_broken
}

# A check that did not end in time, or could not be run, says nothing.
escaped() {
  [ -e "$fence/check" ] || return 1
  run check 1
  case $code in 0 | 12[4-7] | 137) return 1 ;; esac
}
