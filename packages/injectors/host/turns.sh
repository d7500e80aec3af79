# Putting a member back by something that must never run twice at once, such as the start of a server: whoever wants to
# takes the next turn by a link that can be made once, and only when the owner of the last turn is done or dead.
# What a turn starts says so before it looks whether a later turn was taken, and a later turn looks for it after it was
# taken: so of an owner that was killed halfway, either its start is seen or it comes to nothing.
# shellcheck shell=sh

# --- turns ---

# The member is up although its fence stands: the fence is broken, unless somebody ends it. Whoever does so says it before
# anything is put back.
note_broken() {
  for file in dismissed turn.1 back lifted; do
    [ -e "$fence/$file" ] && return 0
  done
  true >"$fence/broken"
}

# Takes the next turn where it is free, and sets turn.
take_turn() {
  turn=0
  while [ -e "$fence/turn.$((turn + 1))" ]; do turn=$((turn + 1)); done
  if [ "$turn" -gt 0 ] && ! [ -e "$fence/over.$turn" ]; then
    owner= owner_born=
    read -r owner owner_born 2>/dev/null <"$fence/turn.$turn"
    if alive "$owner" "$owner_born"; then
      clock
      [ "$waits_for" = "$turn" ] || waits_for=$turn waits_until=$((now + turn_patience))
      [ "$now" -gt "$waits_until" ] && retire "$owner" "$owner_born" || return 1
    fi
  fi
  self
  look "$self"
  printf '%s %s\n' "$self" "$born" >"$fence/taking.$self" || return 1
  turn=$((turn + 1))
  ln "$fence/taking.$self" "$fence/turn.$turn" 2>/dev/null
}

# Starts a verb of this program in a session of its own, for this turn.
start_child() {
  [ -e "$fence/program" ] || write_program || return 1
  launch "$1" "$fence" "$turn" "$directory"
  child=$!
  look "$child"
  child_born=$born
}

# In the child: true where the turn that started it still counts.
still_counts() {
  look $$
  true >"$fence/child.$turn.$$.$born" || return 1
  ! [ -e "$fence/turn.$((turn + 1))" ] && ! [ -e "$fence/back" ]
}

# Sets child and child_born to what an earlier turn started and left running.
earlier_child() {
  for file in "$fence"/child.*; do
    file=${file##*/child.}
    file=${file#*.}
    child=${file%.*} child_born=${file#*.}
    is_number "$child" && is_number "$child_born" && alive "$child" "$child_born" && return 0
  done
  return 1
}

free() {
  tries=$1 waits_for=
  [ -e "$fence/applying" ] || { free_untaken "$1"; return; }
  while ! [ -e "$fence/lifted" ] && ! [ -e "$fence/back" ]; do
    if take_turn; then
      if put_back; then
        note back "$outcome"
        true >"$fence/over.$turn"
        return 0
      fi
      note trouble "$problem"
      true >"$fence/over.$turn"
      sleep 0.3
      return 1
    fi
    # The owner of the turn needs its time, and whoever waits for it waits as long.
    [ -n "$waits_for" ] || tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.02
  done
  return 0
}

# The last lines of a file, in one.
tail_of() {
  tail -c 400 "$1" 2>/dev/null | tr '\n\r\t' '   ' | tr -dc ' -~'
}
