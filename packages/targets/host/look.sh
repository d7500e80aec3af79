# The look at a host's processes, as one program for `sh -c`: it needs Perl, since no shell's own words tell the number of
# a socket or the real name of a file without parsing what others named.
# shellcheck shell=sh

PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
unset PERL5OPT PERL5LIB PERL5DB PERLLIB PERL_UNICODE PERLIO
command -v perl >/dev/null || { echo perlless; exit 0; }
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
if [ -n "$engine" ]; then
  command -v "$engine" >/dev/null || { echo "trouble the host has no $engine"; exit 0; }
  trouble() {
    printf 'trouble %s\n' "$(printf '%s' "$1" | tr -c ' -~' ' ' | tail -c 300)"
    exit 0
  }
  if [ -z "$name" ]; then
    name=$(timeout 4 "$engine" ps --quiet --no-trunc --filter "label=com.docker.compose.project=$project" \
      --filter "label=com.docker.compose.service=$service" 2>&1 </dev/null) || trouble "$name"
    case $name in
      '') trouble "no container of the service $service of the compose project $project runs" ;;
      *[!0-9a-f]*) trouble "several containers of the service $service of the compose project $project run: name one as container" ;;
    esac
  fi
  told=$(timeout 4 "$engine" inspect --type container --format '{{.State.Pid}} {{.Id}}' -- "$name" 2>&1 </dev/null) || trouble "$told"
  first=${told%% *} id=${told#* }
  case $first in '' | *[!0-9]*) trouble "$engine answered: $told" ;; esac
  case $id in *[!0-9a-f]*) digits=0 ;; *) digits=${#id} ;; esac
  [ "$digits" = 64 ] || trouble "the container has the id $id, not one of 64 digits, by which its processes are known: a container that ctr made is not supported"
  [ "$first" != 0 ] || trouble "the container does not run"
  set -- in "$first" "$id" "$@"
fi
look='@embed look.pl'
exec perl -e "$look" -- "$@"
