# The first process of a keeper pod. It starts nothing and stops nothing; it stays for as long as the pod is needed and passes
# the pod's end on. What belongs to the pod is what shares its mount namespace, since with `hostPID` the pod has no processes
# of its own: keepers, holders, and the channels by which a worker speaks.
#
# - On SIGTERM (the pod is deleted, evicted, or past its deadline) the keepers are told first, which lift and write it down;
#   whoever is left when it ends gets SIGKILL from the runtime, and then the kernel lifts.
# - After $1 seconds with nobody but itself it ends: a worker that is gone leaves no pod behind.
# shellcheck shell=sh

idle_most=$1 ending= nap=
trap 'ending=1; [ -z "$nap" ] || kill "$nap" 2>/dev/null' TERM INT

# Sets others to all but this process and its own sleep, and keepers to those that take a SIGTERM as their end.
look_around() {
  others= keepers=
  for place in /proc/[0-9]*; do
    [ "$place/ns/mnt" -ef /proc/self/ns/mnt ] || continue
    number=${place#/proc/}
    [ "$number" != "$$" ] && [ "$number" != "$nap" ] || continue
    others="$others $number"
    case $(tr '\0' ' ' 2>/dev/null <"$place/cmdline") in 'sh -c . "$3/program" inquorate-keeper '*) keepers="$keepers $number" ;; esac
  done
}

idle=0
while [ -z "$ending" ] && [ "$idle" -lt "$idle_most" ]; do
  sleep 5 &
  nap=$!
  wait "$nap"
  nap=
  look_around
  if [ -n "$others" ]; then idle=0; else idle=$((idle + 5)); fi
done
turns=0
while look_around && [ -n "$keepers" ] && [ "$turns" -lt 80 ]; do
  for number in $keepers; do
    [ "$turns" != 0 ] || kill -TERM "$number" 2>/dev/null
  done
  turns=$((turns + 1))
  sleep 0.1
done
exit 0
