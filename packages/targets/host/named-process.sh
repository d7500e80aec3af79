# Which process a number names: $1 its data directory, $2 a file that holds the number or nothing, $3 the number or
# nothing. Prints `process PID START`, then the directory and the executable with their links resolved, a line each; else
# the word `folder` or `file` for what could not be read, `stranger` where a link of another user leads there, or nothing
# where there is no such process.
# shellcheck shell=sh

named=$1
directory=$(cd -P -- "$1" 2>/dev/null && pwd -P) || {
  echo folder
  exit 0
}
pid=$3
# The server's own user may have put a pipe there, which would keep whoever opens it waiting.
if [ -z "$pid" ] && [ -f "$2" ]; then pid=$(timeout 1 head -c 20 -- "$2" 2>/dev/null | sed -n '1p'); fi
case $pid in
  '' | *[!0-9]* | ???????????*)
    echo file
    exit 0
    ;;
esac
# The process's own name may hold anything, line ends too; what follows the last ") " is the kernel's.
stat=
while IFS= read -r part; do stat="$stat$part "; done 2>/dev/null <"/proc/$pid/stat"
case $stat in *') '*) ;; *) exit 0 ;; esac
# shellcheck disable=SC2086 # the kernel's own numbers are to be split
set -- ${stat##*) }
# A link leads only where root, our user or the server's own user sent it: anybody else's would pass another server off as
# this one.
user= us= part= rest=$named links=0
while read -r key _ number _; do [ "$key" = Uid: ] && user=$number; done 2>/dev/null <"/proc/$pid/status"
while read -r key _ number _; do [ "$key" = Uid: ] && us=$number; done </proc/self/status
while [ -n "$rest" ]; do
  case $rest in
    /*) rest=${rest#/} ;;
    *)
      name=${rest%%/*} rest=${rest#"${rest%%/*}"}
      case $name in
        .) continue ;;
        ..) part=${part%/*} && continue ;;
      esac
      if [ -L "$part/$name" ]; then
        owner=$(stat -c %u -- "$part/$name" 2>/dev/null)
        links=$((links + 1))
        case $owner in
          0 | "$user" | "$us") [ "$links" -lt 41 ] ;;
          *) false ;;
        esac || {
          echo stranger
          exit 0
        }
        target=$(readlink -- "$part/$name" && echo .) && target=${target%??}
        rest=$target$rest
        case $target in /*) part= ;; esac
      else
        part=$part/$name
      fi
      ;;
  esac
done
# What leads elsewhere now was changed meanwhile.
[ "${part:-/}" = "$directory" ] || {
  echo stranger
  exit 0
}
executable=$(readlink "/proc/$pid/exe" 2>/dev/null) || exit 0
printf 'process %s %s\n%s\n%s\n' "$pid" "${20}" "$directory" "$executable"
