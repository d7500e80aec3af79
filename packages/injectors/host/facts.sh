# What a host's shell can tell of its processes from /proc, with no program but its own built-ins where it matters:
# state and start time, threads, descendants, and whether a process is the server it is said to be. Text of a POSIX
# shell, the first part of every program that is sent to a host.
# shellcheck shell=sh

LC_ALL=C
PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
# An order says in which container; our own surroundings, where this may be a variable, do not.
engine= container= ancestors=

# --- answers and reading ---

# What every answer begins with, where one question is about several fences.
answering=

answer() {
  printf '%s\n' "$answering$*"
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

# Sets self to this very process, which in a part of a shell is another than $$.
self() {
  read -r self _ </proc/self/stat
}

# Kills one of our own processes and waits until it is gone.
retire() {
  spins=0
  self
  while alive "$1" "$2"; do
    [ "$1" = "$self" ] && return 0
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
  case $name in '' | *[!A-Za-z0-9._-]*) name='with a name of other characters' ;; esac
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

# A program in an order is `/path`, of a process of this host, or `ENGINE:ID:/path`, of one of the container with this id,
# whose path, and that of the data directory, are as the container sees them. Sets engine, container and path_.
unpack() {
  engine= container= path_=$1
  case $1 in
    /*) ;;
    *)
      engine=${1%%:*} path_=${1#*:}
      container=${path_%%:*} path_=${path_#*:}
      ;;
  esac
}

# Sets place to where a path of the order is for us: below the root of a process, where it is one of a container.
place_of() {
  place=$2
  [ -z "$container" ] || place=/proc/$1/root$2
}

# True where the kernel says that a process is of the container: the last element of its control group is the container's,
# by one of the names that engines give, and it is in no other container. crun puts a group of its own beneath. Whom a
# group was delegated to may give one below it any name; the mount namespace of this host he cannot leave for a container's.
# containerd's names are anybody's, so there the whole path counts: below the root nobody but root makes a group.
is_of_container() {
  found=
  [ -e "/proc/$1/ns/mnt" ] && ! [ /proc/self/ns/mnt -ef "/proc/$1/ns/mnt" ] && ! [ /proc/1/ns/mnt -ef "/proc/$1/ns/mnt" ] || return 1
  while IFS= read -r row; do
    row=${row#*:*:}
    whole=$row last=${row##*/}
    [ "$last" != container ] || { row=${row%/*} && last=${row##*/}; }
    last=${last%.scope}
    case $2/$last in
      */*/*) [ "$whole" = "/$2" ] || [ "$whole" = "/$2/container" ] ;;
      "$2/$2" | "$2"/docker-"$2" | "$2"/libpod-"$2" | "$2"/nerdctl-"$2" | "$2"/cri-containerd-"$2" | "$2"/crio-"$2") ;;
      *) false ;;
    esac && found=1 && continue
    of_container "$whole" && return 1
  done 2>/dev/null <"/proc/$1/cgroup"
  [ -n "$found" ]
}

# Sets inner to the number of a process in its own pid namespace.
inner_of() {
  inner=
  while read -r key numbers; do
    [ "$key" = NSpid: ] && inner=${numbers##*[!0-9]} && break
  done 2>/dev/null <"/proc/$1/status"
  is_number "$inner"
}

# The part of a judgement where a process lives: in our own namespaces and no container, or in the one that the order names.
judge_home() {
  unpack "$2"
  verdict=impossible
  if [ -z "$container" ]; then
    if in_container "$1"; then
      problem="process $1 runs in a container, which its member's configuration does not name (container)"
      is_of_pod "$1" && problem="process $1 runs in a pod of Kubernetes: name the cluster as a host (kubernetes), and the pods as the members (pods)"
      return 1
    fi
    problem="process $1 has namespaces of its own, as in a container: name it (container) where docker, podman, nerdctl or ctr made it; containers of anything else, such as lxc or systemd-nspawn, are not supported"
    [ /proc/self/ns/pid -ef "/proc/$1/ns/pid" ] || return 1
    [ -n "$3" ] || [ /proc/self/ns/net -ef "/proc/$1/ns/net" ] || return 1
    return 0
  fi
  problem="process $1 has a user namespace of its own, as in a rootless container, which is not supported"
  [ /proc/self/ns/user -ef "/proc/$1/ns/user" ] || return 1
  verdict=mistaken
  problem="process $1 is not of the container $container: its control group is another"
  is_of_container "$1" "$container"
}

# True for 64 hexadecimal digits, as runtimes number their containers.
is_container_id() {
  case $1 in *[!0-9a-f]*) return 1 ;; esac
  [ ${#1} = 64 ]
}

# True for NAMESPACE/NAME, by which containerd knows a container: each of letters and digits with single . _ - between.
is_containerd_name() {
  case $1 in
    */*/* | *[!A-Za-z0-9._/-]* | [!A-Za-z0-9]* | *[!A-Za-z0-9] | */[!A-Za-z0-9]* | *[!A-Za-z0-9]/* | *[._-][._-]*) return 1 ;;
    ?*/?*) [ ${#1} -le 153 ] ;;
    *) return 1 ;;
  esac
}

# True where a control group's path is one that a container runtime makes: /docker/ID, docker-ID.scope, /libpod-ID,
# …/podUID/ID, cri-containerd-ID.scope, crio-ID.scope, /lxc/NAME. A service may have any of these words in its name.
of_container() {
  above= rest=${1#/}
  while [ -n "$rest" ]; do
    element=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
    case $element in
      docker-*.scope | libpod-*.scope | cri-containerd-*.scope | crio-*.scope | nerdctl-*.scope)
        number=${element%.scope}
        is_container_id "${number##*-}" && return 0
        ;;
      libpod-*) is_container_id "${element#libpod-}" && return 0 ;;
      lxc.payload.?*) return 0 ;;
      *)
        case $above in
          docker | pod* | kubepods* | libpod_parent | default) is_container_id "$element" && return 0 ;;
          lxc) return 0 ;;
        esac
        ;;
    esac
    above=$element
  done
  return 1
}

# A control group's name holds no line end, which the kernel sees to; it may hold anything else.
in_container() {
  while IFS= read -r row; do
    of_container "${row#*:*:}" || continue
    ours=
    while IFS= read -r own; do [ "$own" = "$row" ] && ours=1; done </proc/self/cgroup
    [ -n "$ours" ] || return 0
  done 2>/dev/null <"/proc/$1/cgroup"
  return 1
}

# True where the kernel says that the process is of a pod: a kubelet puts all of them below one group.
is_of_pod() {
  while IFS= read -r row; do
    case ${row#*:*:}/ in
      /kubepods/* | /kubepods.slice/* | */cri-containerd-*.scope/* | */crio-*.scope/*) return 0 ;;
    esac
  done 2>/dev/null <"/proc/$1/cgroup"
  return 1
}

# Sets freezer where a control group keeps the process from running, as `docker pause` does: such a process looks asleep.
frozen() {
  freezer=
  while IFS= read -r row; do
    path=${row#*:*:} kinds=${row#*:}
    kinds=,${kinds%%:*},
    case $kinds in
      ,,)
        for place in /sys/fs/cgroup /sys/fs/cgroup/unified; do
          at=$path
          while [ -n "$at" ] && [ "$at" != / ]; do
            word=
            read -r word 2>/dev/null <"$place$at/cgroup.freeze"
            [ "$word" = 1 ] && freezer='cgroup.freeze of its control group'
            at=${at%/*}
          done
        done
        ;;
      *,freezer,*)
        word=THAWED
        for place in /sys/fs/cgroup/freezer "/sys/fs/cgroup/${kinds#,}"; do
          read -r word 2>/dev/null <"${place%,}$path/freezer.state" && break
        done
        case $word in FROZEN | FREEZING) freezer='the freezer of its control group' ;; esac
        ;;
    esac
  done 2>/dev/null <"/proc/$1/cgroup"
  [ -n "$freezer" ] || sleeps_frozen "$1" || return 1
}

# Sets freezer where the kernel says by what a process waits for that it is frozen. This is seen where control groups are
# not, as in a pod, which sees no other than its own. Version 1 freezes a sleeper where it sleeps and shows it as D; nobody
# else is D in a wait that a signal could end. Version 2 keeps it in the delivery of signals, asleep and not stopped.
sleeps_frozen() {
  waits_frozen "$1" || return 1
  # State and wait are two readings. They are of one moment where the process did not run in between.
  turns_of "$1"
  before=$turns
  waits_frozen "$1" || return 1
  turns_of "$1"
  [ -n "$turns" ] && [ "$turns" = "$before" ]
}

waits_frozen() {
  look "$1" || return 1
  word=
  read -r word 2>/dev/null <"/proc/$1/wchan"
  case $state/$word in
    D/*refrigerator* | D/*epoll* | D/ep_poll | D/*futex* | D/*nanosleep* | D/*poll_schedule* | D/do_poll* | D/do_select | D/do_wait* | D/*sigsuspend* | D/*sigtimedwait*)
      freezer='the freezer of its control group'
      ;;
    S/get_signal | S/do_freezer_trap) freezer='cgroup.freeze of its control group' ;;
    *) return 1 ;;
  esac
}

# Sets turns to how often a process has left its processor, of its own will and not.
turns_of() {
  turns=
  while read -r row word _; do
    case $row in voluntary_ctxt_switches: | nonvoluntary_ctxt_switches:) turns="$turns $word" ;; esac
  done 2>/dev/null <"/proc/$1/status"
}

judge_thawed() {
  verdict=impossible
  frozen "$1" || return 0
  problem="process $1 is frozen by $freezer, as docker pause does: thaw it first"
  return 1
}

# Sets user to the effective user of a process. The kernel escapes the process's own name in this file.
user_of() {
  user=
  while read -r key _ number _; do
    [ "$key" = Uid: ] && user=$number && break
  done 2>/dev/null <"/proc/$1/status"
  is_number "$user"
}

# True where a descriptor of a process is open for writing. One that is open for reading, or only names a file (O_PATH,
# 0x200000), is not.
is_for_writing() {
  flags=
  while read -r key value _; do
    [ "$key" = flags: ] && flags=$value && break
  done 2>/dev/null <"/proc/$1/fdinfo/$2"
  case $flags in '' | *[!0-7]*) return 1 ;; esac
  flags=$((0$flags))
  [ $((flags & 0x200000)) = 0 ] && case $((flags & 3)) in 1 | 2) ;; *) false ;; esac
}

# True where a process has this very file open for writing, by device and inode.
holds_for_writing() {
  for descriptor in /proc/"$1"/fd/*; do
    [ "$descriptor" -ef "$2" ] && is_for_writing "$1" "${descriptor##*/}" && return 0
  done
  return 1
}

# True where a process has some file below this folder open for writing. What the kernel calls it only tells where to
# look; that it is there is seen by device and inode.
holds_below() {
  for descriptor in /proc/"$1"/fd/*; do
    [ -f "$descriptor" ] && is_for_writing "$1" "${descriptor##*/}" || continue
    held=$(readlink "$descriptor") || continue
    place_of "$1" "$held"
    case $held in "$2"/*) [ "$descriptor" -ef "$place" ] && return 0 ;; esac
  done
  return 1
}

# True where the user of the process owns all of these, and nobody else may write to them. Where the first is a folder and
# no link, owned and owned_key are that folder, and its device and inode.
owns() {
  user_of "$1" || return 1
  shift
  owned=$1
  marks=$(stat -c '%u %f %d.%i' -- "$@" 2>/dev/null) || return 1
  set -- $marks
  case $2 in 4???) owned_key=$3 ;; *) owned= ;; esac
  while [ $# -gt 0 ]; do
    [ "$1" = "$user" ] && is_mode "$2" && [ $((0x$2 & 0022)) = 0 ] || return 1
    shift 3
  done
}

is_mode() {
  case $1 in '' | *[!0-9a-f]* | ?????????*) return 1 ;; esac
}

# True where the process is the server of the data directory. What it says of itself (arguments, environment) is no proof.
# - etcd has its database there open for writing, and runs as the user whose the database is; root may have either.
# - PostgreSQL is who postmaster.pid names, a file that its user alone can have written, and stands there.
# - Any other server stands there or has a file below it open for writing, and the directory is its user's alone.
serves() {
  place_of "$1" "$2"
  set -- "$1" "$2" "$place"
  if [ -f "$3/member/snap/db" ]; then
    # The users first: whoever has a million files open would make this slow, and his process need not be looked into.
    user_of "$1" && owner=$(stat -Lc %u -- "$3/member/snap/db" 2>/dev/null) || return 1
    [ "$user" = "$owner" ] || case $user/$owner in 0/* | */0) ;; *) return 1 ;; esac
    holds_for_writing "$1" "$3/member/snap/db"
  elif [ -e "$3/postmaster.pid" ] || [ -L "$3/postmaster.pid" ]; then
    [ "/proc/$1/cwd" -ef "$3" ] && [ -f "$3/postmaster.pid" ] && ! [ -L "$3/postmaster.pid" ] || return 1
    owns "$1" "$3" "$3/postmaster.pid" || return 1
    named=
    read -r named <<END
$(start_of "$3/postmaster.pid")
END
    inner=$1
    [ -z "$container" ] || inner_of "$1" || return 1
    [ "$named" = "$inner" ]
  else
    owns "$1" "$3" && { [ "/proc/$1/cwd" -ef "$3" ] || holds_below "$1" "$2"; }
  fi
}

# Prints the first bytes of a file, in whose place its owner may put anything, now too. The dd of busybox knows no nonblock.
start_of() {
  dd if="$1" bs=24 count=1 iflag=nonblock 2>/dev/null || timeout 2 head -c 24 -- "$1" 2>/dev/null
}

# Where the data directory of an order is, by device and inode. Takes a process that sees it, and the directory.
directory_key() {
  place_of "$1" "$2"
  stat -Lc '%d.%i' -- "$place" 2>/dev/null
}

# True where the process of an order is gone and another runs that serves its data directory: a supervisor's work. Takes
# pid, start time, program and data directory; sets successor. In containers that is another process of the same one, or of
# another that has the same directory.
replaced() {
  alive "$1" "$2" && return 1
  unpack "$3"
  kept=
  [ -z "$container" ] || read -r kept 2>/dev/null <"$fence/place"
  for task in /proc/[0-9]*; do
    successor=${task#/proc/}
    place_of "$successor" "$path_"
    [ "$task/exe" -ef "$place" ] || continue
    [ "$successor" != "$1" ] && look "$successor" || continue
    case $state in [TtZXx]) continue ;; esac
    if [ -n "$container" ] && ! is_of_container "$successor" "$container"; then
      [ -n "$kept" ] && [ "$(directory_key "$successor" "$4")" = "$kept" ] || continue
    fi
    serves "$successor" "$4" && return 0
  done
  successor=
  return 1
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
  unpack "$3"
  place_of "$1" "$path_"
  if ! [ "/proc/$1/exe" -ef "$place" ]; then
    runs=$(readlink "/proc/$1/exe")
    problem="process $1 runs another program than $path_"
    # What an upgrade replaced is the same server; a file that is really called so is another program.
    place_of "$1" "$runs"
    [ "${runs% (deleted)}" = "${path_% (deleted)}" ] && ! [ "/proc/$1/exe" -ef "$place" ] || return 1
  fi
  problem="process $1 is not the server of the data directory $4: it has no file of it open for writing that only the server has"
  serves "$1" "$4" || return 1
}

# Sets ancestors to this program and all who started it, each with its start time. Nobody joins them later.
climb() {
  ancestors=' ' elder=$$
  while [ "$elder" -gt 1 ] && look "$elder"; do
    ancestors="$ancestors$elder:$born "
    elder=$parent
  done
}

# Sets verdict and problem for: pid, start time, executable, data directory.
judge() {
  judge_presence "$@" || return 1
  verdict=impossible
  problem="this user may not signal process $1"
  kill -0 "$1" 2>/dev/null || return 1
  problem="this user may not look at process $1"
  [ -e "/proc/$1/ns/pid" ] || return 1
  judge_home "$1" "$3" '' || return 1
  judge_server "$@" || return 1
  judge_thawed "$1" || return 1
  problem="process $1 started this worker and cannot be stopped by it"
  [ -n "$ancestors" ] || climb
  case $ancestors in *" $1:$2 "*) return 1 ;; esac
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
  unpack "$3"
  case $path_ in /*) ;; *) return 1 ;; esac
  case $engine in
    '') ;;
    containerd) is_containerd_name "$container" || return 1 ;;
    docker | podman | nerdctl | cri) is_container_id "$container" || return 1 ;;
    *) return 1 ;;
  esac
  case $4 in /*) ;; *) return 1 ;; esac
}
