# What a process of etcd shows of itself: $1 is its number. Printed in base64, since what it was started with is its own
# affair. Of its environment only the two variables that count here leave the host. Of its write-ahead log, which it holds
# open and locked, the head of one segment, where its member's id stands; it is opened as the process itself has it open.
# A process may let its arguments and its environment be as long as it likes, so of each the beginning counts.
# shellcheck shell=sh

PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
[ -r "/proc/$1/cmdline" ] || exit 1
words=$(head -c 262144 "/proc/$1/cmdline" 2>/dev/null | base64 -w0)
log=$(find "/proc/$1/fd/" -lname '*/member/wal/*.wal' -print -quit 2>/dev/null)
# A pipe in its place would keep whoever opens it waiting.
[ -z "$log" ] || ! [ -f "$log" ] || echo "log $(timeout 1 head -c 256 -- "$log" | base64 -w0)"
[ -r "/proc/$1/environ" ] || exit 0
echo "environment $(head -c 2097152 "/proc/$1/environ" | tr '\n\0' ' \n' | grep -E '^ETCD_(CONFIG_FILE|ELECTION_TIMEOUT)=' | head -c 65536 | base64 -w0)"
echo "words $words"
