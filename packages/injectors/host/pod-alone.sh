# True where no keeper and no holder of a fence is left in this pod.
# shellcheck shell=sh

for place in /proc/[0-9]*; do
  [ "$place/ns/mnt" -ef /proc/self/ns/mnt ] || continue
  case $(tr '\0' ' ' 2>/dev/null <"$place/cmdline") in
    'sh -c . "$3/program" inquorate-keeper '* | perl*'/inquorate-holder '*) exit 1 ;;
  esac
done
exit 0
