# What a process of etcd shows of itself: $1 is its number. Printed in base64, since what it was started with is its own
# affair. Of its environment only the two variables that count here leave the host. Of its write-ahead log, which it holds
# open and locked, the head of one segment, where its member's id stands; it is opened as the process itself has it open.
# shellcheck shell=sh

PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
words=$(base64 -w0 <"/proc/$1/cmdline" 2>/dev/null) || exit 1
log=$(find "/proc/$1/fd/" -lname '*/member/wal/*.wal' -print -quit 2>/dev/null)
# A pipe in its place would keep whoever opens it waiting.
[ -z "$log" ] || ! [ -f "$log" ] || echo "log $(timeout 1 head -c 256 -- "$log" | base64 -w0)"
[ -r "/proc/$1/environ" ] || exit 0
echo "environment $(tr '\n\0' ' \n' <"/proc/$1/environ" | grep -E '^ETCD_(CONFIG_FILE|ELECTION_TIMEOUT)=' | base64 -w0)"
echo "words $words"
