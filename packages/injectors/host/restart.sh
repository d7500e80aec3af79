# Starting a killed server again as it was: before the kill everything that makes it this server is read from /proc and
# written down as a script, which is removed once the server is back, for it holds its environment. Shell text.
#
# Kept are the exact arguments and environment, working directory, user and groups, umask, limits, out-of-memory score,
# control groups where they may be joined, and the files that output goes to. Output to a pipe, socket or terminal goes
# to /dev/null; capabilities, a namespace or a supervisor's interest are not kept: such servers want a command or unit.
# shellcheck shell=sh

# --- the server as it was ---

# A file of words that end in NUL, one a line; a line end within a word becomes byte 1.
words_of() {
  tr '\000\012' '\012\001' <"$1" 2>/dev/null
}

# The same lines quoted for a shell, to be continued.
quoted() {
  sed "s/'/'\\\\''/g; s/^/'/; s/\$/' \\\\/" | tr '\001' '\012'
}

quote() {
  printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"
}

# Sets runs_as to how the process is to be called again: its own first argument where that still leads to its executable.
recall_name() {
  first=$(words_of "/proc/$pid/cmdline" | sed -n 1p)
  runs_as=
  case $first in
    '') ;;
    /*) [ "$first" -ef "/proc/$pid/exe" ] && runs_as=$first ;;
    */*) [ "/proc/$pid/cwd/$first" -ef "/proc/$pid/exe" ] && runs_as=$first ;;
    *)
      IFS=:
      for folder in $(words_of "/proc/$pid/environ" | sed -n 's/^PATH=//p' | sed -n 1p); do
        [ -x "$folder/$first" ] && break
      done
      unset IFS
      [ "$folder/$first" -ef "/proc/$pid/exe" ] && runs_as=$first
      ;;
  esac
  name=${first##*/}
  [ -n "$runs_as" ] || [ "${name#-}" != "${exe##*/}" ] || runs_as=$exe
  [ -n "$runs_as" ]
}

# True where its user and environment can be had again; sets mask, and drop to what becomes that user.
recall_user() {
  problem="the environment of process $pid cannot be read"
  cat "/proc/$pid/environ" >/dev/null 2>&1 || return 1
  problem="an argument or variable of process $pid holds a byte that cannot be kept: configure its unit"
  [ "$(cat "/proc/$pid/cmdline" "/proc/$pid/environ" 2>/dev/null | tr -dc '\001' | wc -c)" -eq 0 ] || return 1
  mask=0022
  while read -r key a b c d; do
    case $key in
      Uid:) user=$a users="$a $b $c $d" ;;
      Gid:) group=$a groups="$a $b $c $d" ;;
      Umask:) mask=$a ;;
    esac
  done <"/proc/$pid/status"
  problem="process $pid runs under several users at once: configure its unit"
  [ "$users" = "$user $user $user $user" ] && [ "$groups" = "$group $group $group $group" ] || return 1
  while read -r key _ us _; do [ "$key" = Uid: ] && break; done </proc/self/status
  drop=
  [ "$user" = "$us" ] && [ "$us" != 0 ] && return 0
  problem="the host has no setpriv to start the server as its own user"
  command -v setpriv >/dev/null || return 1
  groups=$(set -- $(sed -n 's/^Groups://p' "/proc/$pid/status") && IFS=, && printf '%s' "$*")
  if [ -n "$groups" ]; then groups="--groups $groups"; else groups=--clear-groups; fi
  drop="setpriv --reuid $user --regid $group $groups"
}

# True where the process can be called again just as it was.
recall_arguments() {
  problem="process $pid has rewritten its arguments, so it cannot be started again by them: configure its restart"
  recall_name
}

limits() {
  while read -r row; do
    case $row in
      'Max cpu time '*) key=cpu ;;
      'Max file size '*) key=fsize ;;
      'Max data size '*) key=data ;;
      'Max stack size '*) key=stack ;;
      'Max core file size '*) key=core ;;
      'Max processes '*) key=nproc ;;
      'Max open files '*) key=nofile ;;
      'Max locked memory '*) key=memlock ;;
      'Max address space '*) key=as ;;
      *) continue ;;
    esac
    set -- ${row#Max }
    while ! is_number "$1" && [ "$1" != unlimited ]; do shift; done
    printf -- '--%s=%s:%s ' $key "$1" "$2"
  done <"/proc/$pid/limits"
}

# The file a descriptor of the process writes to, where it is one that can be opened again.
output_of() {
  output=$(readlink "/proc/$pid/fd/$1") && [ -f "$output" ] && [ "$output" -ef "/proc/$pid/fd/$1" ] || output=
}

# Writes the script that becomes the server, $1 being a command in place of its own arguments.
recollect() {
  recall_user || return 1
  [ -n "$1" ] || recall_arguments || return 1
  problem="the state directory cannot be written"
  cwd=$(readlink "/proc/$pid/cwd")
  {
    printf 'cd -- %s || exit 1\n' "$(quote "$cwd")"
    printf 'umask %s\n' "$mask"
    printf 'echo %s 2>/dev/null >/proc/self/oom_score_adj\n' "$(cat "/proc/$pid/oom_score_adj" 2>/dev/null || echo 0)"
    while IFS= read -r row; do
      path=${row#*:} path=${path#*:} row=${row#*:} row=${row%%:*} row=${row#name=}
      printf 'join %s %s\n' "$(quote "$row")" "$(quote "$path")"
    done <"/proc/$pid/cgroup"
    printf 'prlimit --pid $$ %s 2>/dev/null\n' "$(limits)"
    for number in 1 2; do
      output_of $number
      printf 'write_to %s %s %s\n' $number "$(quote "$output")" "$(stat -Lc %d.%i "$output" 2>/dev/null || echo none)"
    done
    printf 'exec %s %s -- \\\n' "$drop" 'env -i $signals'
    words_of "/proc/$pid/environ" | sed '/^[^-=][^=]*=/!d' | quoted
    if [ -z "$1" ]; then
      printf '%s\n' "$runs_as" | quoted
      words_of "/proc/$pid/cmdline" | sed 1d | quoted
      echo
    else
      printf 'sh -c %s inquorate\n' "$(quote "$1")"
    fi
  } >"$fence/restart"
}

# In the script: joins a control group of the server, where that is allowed.
join() {
  for at in "/sys/fs/cgroup$2" "/sys/fs/cgroup/$1$2" "/sys/fs/cgroup/unified$2"; do
    [ -z "$1" ] || [ "$at" = "/sys/fs/cgroup/$1$2" ] || continue
    [ -w "$at/cgroup.procs" ] && echo $$ 2>/dev/null >"$at/cgroup.procs" && return 0
  done
}

# In the script: goes on with a log only if it is the very same file, for its folder may belong to a lesser user than we are.
write_to() {
  if [ -n "$2" ] && [ -f "$2" ] && [ -w "$2" ]; then
    exec 9>>"$2"
    if [ "$(stat -Lc %d.%i /proc/$$/fd/9)" = "$3" ]; then
      eval "exec $1>&9 9>&-"
      return 0
    fi
    exec 9>&-
  fi
  eval "exec $1>/dev/null"
}

# --- who serves the data directory ---

# True for a program of ours, which names a data directory among its arguments too.
ours() {
  [ "$1" = $$ ] && return 0
  case $(tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null | sed -n 4p) in inquorate | inquorate-keeper) return 0 ;; esac
  return 1
}

# Sets server and server_born to the process that runs the executable on the data directory.
find_server() {
  server=
  for task in /proc/[0-9]*; do
    [ "$task/exe" -ef "$exe" ] || continue
    task=${task#/proc/}
    look "$task" || continue
    case $state in Z | X | x) continue ;; esac
    # A child of another such process stands and falls with it.
    [ "/proc/$parent/exe" -ef "$exe" ] && [ "/proc/$parent/cwd" -ef "/proc/$task/cwd" ] && continue
    case " $strangers " in *" $task.$born "*) [ "/proc/$task/cwd" -ef "$directory" ] || continue ;; esac
    server=$task server_born=$born
    ! ours "$task" && serves "$task" "$directory" && return 0
    strangers="$strangers $task.$server_born"
  done
  return 1
}
