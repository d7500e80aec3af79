# What a host's shell can tell of its processes from /proc, with no program but its own built-ins where it matters:
# state and start time, threads, descendants, and whether a process is the server it is said to be. Text of a POSIX
# shell, the first part of every program that is sent to a host.
# shellcheck shell=sh

LC_ALL=C
PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
launch='program=$1; shift; eval "$program"'

# --- answers and reading ---

answer() {
  printf '%s\n' "$*"
  exit 0
}

# 19 digits or more could overflow the shell's arithmetic.
is_number() {
  case $1 in '' | *[!0-9]* | ???????????????????*) return 1 ;; esac
}

is_name() {
  case $1 in '' | *[!0-9a-f-]*) return 1 ;; esac
}

# Uptime in whole milliseconds, without a leading zero (which would read as octal).
clock() {
  read -r now _ </proc/uptime
  now=${now%.*}${now#*.}0
  while :; do
    case $now in 0?*) now=${now#0} ;; *) return 0 ;; esac
  done
}

# UTC in whole milliseconds; whole seconds where date knows no %N.
utc() {
  utc=$(date -u +%s%N)
  case $utc in
    *[!0-9]* | '') utc=$(date -u +%s)000 ;;
    ???????????????????) utc=${utc%??????} ;;
    *) utc=${utc}000 ;;
  esac
}

# A process's own name may hold anything, line ends and ") " too; what follows the last ") " is the kernel's.
fields() {
  line=
  while IFS= read -r part; do line="$line$part "; done 2>/dev/null <"$1"
  case $line in *') '*) line=${line##*) } ;; *) line= ;; esac
  [ -n "$line" ]
}

# Sets state, parent and born (field 22) of a process.
look() {
  fields "/proc/$1/stat" || return 1
  set -- $line
  state=$1 parent=$2 born=${20}
}

same() {
  look "$1" && [ "$born" = "$2" ]
}

alive() {
  same "$1" "$2" && case $state in Z | X | x) false ;; esac
}

# Kills one of our own processes and waits until it is gone.
retire() {
  spins=0
  while alive "$1" "$2"; do
    [ "$1" = $$ ] && return 0
    [ "$spins" = 0 ] && kill -KILL "$1" 2>/dev/null
    spins=$((spins + 1))
    [ "$spins" -gt 600 ] && return 1
    [ "$spins" -gt 4 ] && sleep 0.005
  done
  return 0
}

# Sets tracer to the process that traces this one, 0 where none does.
tracer_of() {
  tracer=0
  while read -r key part _; do
    [ "$key" = TracerPid: ] && tracer=$part && break
  done 2>/dev/null <"/proc/$1/status"
}

# Says that a process is traced. Its tracer alone decides when it stops and runs.
traced() {
  name=unknown
  read -r name 2>/dev/null <"/proc/$2/comm"
  problem="process $1 is traced by process $2 ($name), such as a debugger"
}

# True where every thread of a process is stopped or dead.
halted() {
  for task in /proc/"$1"/task/[0-9]*; do
    fields "$task/stat" || continue
    case $line in [TtZXx]' '*) ;; *) return 1 ;; esac
  done
}

# The kernel's own list of children is complete once the parent is stopped. Where it was built without, all of /proc is read.
children() {
  kids=
  if [ -e /proc/$$/task/$$/children ]; then
    for task in /proc/"$1"/task/[0-9]*; do
      part=
      read -r part 2>/dev/null <"$task/children"
      kids="$kids $part"
    done
  else
    for task in /proc/[0-9]*; do
      look "${task#/proc/}" && [ "$parent" = "$1" ] && kids="$kids ${task#/proc/}"
    done
  fi
}

# Sets kin to the given processes (as pid:born) and all their descendants.
family() {
  kin=" $* "
  queue=$*
  while [ -n "$queue" ]; do
    following=
    for elder in $queue; do
      children "${elder%:*}"
      for kid in $kids; do
        case $kin in *" $kid:"*) continue ;; esac
        look "$kid" || continue
        kin="$kin$kid:$born "
        following="$following $kid:$born"
      done
    done
    queue=$following
  done
}

# --- the process ---

in_container() {
  while IFS= read -r row; do
    case $row in
      *docker* | *kubepods* | *containerd* | *libpod* | *crio* | */lxc/*)
        ours=
        while IFS= read -r own; do [ "$own" = "$row" ] && ours=1; done </proc/self/cgroup
        [ -n "$ours" ] || return 0
        ;;
    esac
  done 2>/dev/null <"/proc/$1/cgroup"
  return 1
}

# True where the process stands in its data directory or names it in an argument.
serves() {
  [ "/proc/$1/cwd" -ef "$2" ] && return 0
  [ "$(readlink "/proc/$1/cwd")" = "$2" ] && return 0
  tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null | {
    while IFS= read -r word; do
      for word in "$word" "${word#*=}"; do
        case $word in
          '') ;;
          /*) [ "$word" -ef "$2" ] && exit 0 ;;
          *) [ "/proc/$1/cwd/$word" -ef "$2" ] && exit 0 ;;
        esac
      done
    done
    exit 1
  }
}

# The part of a judgement whether the process is there and runs; sets standing to its state.
judge_presence() {
  verdict=mistaken
  problem="no process $1 is there"
  look "$1" || return 1
  problem="pid $1 belongs to another process now"
  [ "$born" = "$2" ] || return 1
  standing=$state
  problem="process $1 has ended"
  case $standing in Z | X | x) return 1 ;; esac
}

# The part of a judgement whether the process is the server.
judge_server() {
  verdict=mistaken
  if ! [ "/proc/$1/exe" -ef "$3" ]; then
    runs=$(readlink "/proc/$1/exe")
    problem="process $1 runs $runs, not $3"
    # What an upgrade replaced is the same server.
    [ "${runs% (deleted)}" = "${3% (deleted)}" ] || return 1
  fi
  problem="process $1 neither stands in the data directory $4 nor names it in its arguments"
  serves "$1" "$4" || return 1
}

# Sets verdict and problem for: pid, start time, executable, data directory.
judge() {
  judge_presence "$@" || return 1
  verdict=impossible
  problem="this user may not signal process $1"
  kill -0 "$1" 2>/dev/null || return 1
  problem="this user may not look at process $1"
  [ -e "/proc/$1/ns/pid" ] || return 1
  problem="process $1 runs in a container, which is not supported"
  [ /proc/self/ns/pid -ef "/proc/$1/ns/pid" ] && [ /proc/self/ns/net -ef "/proc/$1/ns/net" ] || return 1
  in_container "$1" && return 1
  judge_server "$@" || return 1
  verdict=impossible
  problem="process $1 started this worker and cannot be stopped by it"
  elder=$$
  while [ "$elder" -gt 1 ]; do
    [ "$elder" = "$1" ] && return 1
    look "$elder" || break
    elder=$parent
  done
  tracer_of "$1"
  traced "$1" "$tracer"
  [ "$tracer" = 0 ] || return 1
  problem="process $1 is stopped already"
  case $standing in T | t) return 1 ;; esac
  verdict=ready problem=
}

well_formed() {
  is_number "$1" && [ "$1" -gt 1 ] && is_number "$2" || return 1
  case $3$4 in *'
'*) return 1 ;; esac
  case $3 in /*) ;; *) return 1 ;; esac
  case $4 in /*) ;; *) return 1 ;; esac
}
