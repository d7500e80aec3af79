# Runs one program after another for as long as its standard input is open, so that a worker needs no connection for each.
# $1 is said once it listens. A line `MARK BYTES` and so many bytes are a program; its standard output stands between the
# mark and a line with the mark and the exit code, the beginning of its standard error between that and `MARK end`.
# shellcheck shell=sh

cd /
errors=/tmp/inquorate-$$
trap 'rm -f "$errors"' EXIT
exec 4>&1
printf '%s\n' "$1"
while read -r mark bytes; do
  case $bytes in '' | *[!0-9]*) exit 1 ;; esac
  printf '\n%s\n' "$mark"
  code=$({ {
    sh -c 'exec 3<&0 </dev/null; eval "$(dd bs='"$bytes"' count=1 iflag=fullblock <&3 2>/dev/null)"' inquorate 3>&- 4>&-
    echo "$?" >&3
  } 2>&1 >&4 | head -c 65536 >"$errors"; } 3>&1)
  printf '\n%s %s\n' "$mark" "$code"
  cat "$errors"
  printf '\n%s end\n' "$mark"
done
