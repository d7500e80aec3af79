# The look at a host's processes, as one program for `sh -c`: it needs Perl, since no shell's own words tell the number of
# a socket or the real name of a file without parsing what others named.
# shellcheck shell=sh

PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
unset PERL5OPT PERL5LIB PERL5DB PERLLIB PERL_UNICODE PERLIO
command -v perl >/dev/null || { echo perlless; exit 0; }
trouble() {
  printf 'trouble %s\n' "$(printf '%s' "$1" | tr -c ' -~' ' ' | tail -c 300)"
  exit 0
}

# Says of a container what its engine says instead of an answer.
untold() {
  case $1 in
    *[Nn]o' such '*) trouble "$engine has no container $name: $engine ps --all tells what there is" ;;
    *) trouble "$engine does not tell of the container $name: $(printf '%s' "$1" | tr -s '\n' ' ' | sed 's/^ *//')" ;;
  esac
}

# Asks containerd about a namespace of its own, whose name comes first.
ask_containerd() {
  timeout 4 ctr --connect-timeout 3s --namespace "$@" 2>&1 </dev/null
}

# Sets first to the first process of containerd's container NAMESPACE/NAME. Names there hold neither blanks nor line ends.
find_task() {
  space=${1%%/*} called=${1#*/} socket=${CONTAINERD_ADDRESS:-/run/containerd/containerd.sock}
  socket=${socket#unix://}
  command -v ctr >/dev/null || trouble "the host has no ctr, by which containerd is asked: install the package containerd"
  [ -S "$socket" ] || trouble "containerd has no socket $socket: it does not run, or another one is to be named by CONTAINERD_ADDRESS"
  [ -r "$socket" ] && [ -w "$socket" ] || trouble "this user may not ask containerd by its socket $socket: be root there"
  told=$(ask_containerd "$space" tasks list) || trouble "containerd did not answer: $told"
  first=0
  while read -r name pid standing _; do
    [ "$name" = "$called" ] || continue
    case $standing in RUNNING | PAUSED | PAUSING) first=$pid ;; esac
  done <<END
$told
END
  case $first in '' | *[!0-9]*) trouble "containerd answered: $told" ;; esac
  [ "$first" = 0 ] || return 0
  ask_containerd "$space" containers info "$called" >/dev/null && trouble "the container does not run"
  others=
  for other in $(ask_containerd "$space" namespaces list --quiet | head -n 20); do
    ask_containerd "$other" containers info "$called" >/dev/null && others="$others $other"
  done
  [ -z "$others" ] || trouble "containerd has none of this name there, but in:$others (name that as namespace)"
  trouble "containerd has none of this name there: ctr --namespace $space containers list tells what there is"
}

# `in ENGINE NAME PROJECT SERVICE` before the words: a container, by name or as the service of a compose project. Its engine
# says which process is its first one, and its number.
engine=
if [ "$1" = in ]; then
  engine=$2 name=$3 project=$4 service=$5
  shift 5
  if [ "$engine" = cri ]; then
    # A pod's container: the API knows its number, and the kernel which processes are of it.
    case $name in '' | *[!0-9a-f]*) echo "trouble the container does not run"; exit 0 ;; esac
    set -- in 0 "$name" "$@"
    engine=
  fi
fi
if [ "$engine" = containerd ]; then
  find_task "$name"
  set -- in "$first" "$space/$called" "$@"
elif [ -n "$engine" ]; then
  command -v "$engine" >/dev/null || trouble "the host has no $engine"
  if [ -z "$name" ]; then
    name=$(timeout 4 "$engine" ps --quiet --no-trunc --filter "label=com.docker.compose.project=$project" \
      --filter "label=com.docker.compose.service=$service" 2>&1 </dev/null) || trouble "$name"
    case $name in
      '') trouble "no container of the service $service of the compose project $project runs" ;;
      *[!0-9a-f]*) trouble "several containers of the service $service of the compose project $project run: name one as container" ;;
    esac
  fi
  # The id comes first, since nerdctl prints once more what stands before it, as its own source has it.
  told=$(timeout 4 "$engine" inspect --type container --format '{{.Id}} {{.State.Pid}}' -- "$name" 2>&1 </dev/null) || untold "$told"
  id=${told%% *} first=${told#* }
  case $first in '' | *[!0-9]*) trouble "$engine answered: $told" ;; esac
  case $id in *[!0-9a-f]*) digits=0 ;; *) digits=${#id} ;; esac
  [ "$digits" = 64 ] || trouble "the container has the id $id, not one of 64 digits, by which its processes are known: one that ctr made has the engine containerd"
  [ "$first" != 0 ] || trouble "the container does not run"
  set -- in "$first" "$id" "$@"
fi
look='@embed look.pl'
exec perl -e "$look" -- "$@"
