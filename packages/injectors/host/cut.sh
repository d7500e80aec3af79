# The second part of the netfilter program: network namespaces, what to cut for one member, and the rules that cut it.
#
# - Members that meet on one host's loopback have one address, so ports are cut, on `lo` only: those the member listens
#   on for its peers, the connections it holds to theirs, and new connections to theirs (by anybody, for nothing tells
#   them apart; what the others have open with each other stays). A port that clients use as well is never cut.
# - A member in a network namespace of its own is cut off by the addresses of its peers, of both kinds, in all protocols.
# - Every element has a timeout on the kernel's own clock, every rule a limit on the wall clock: either ends the cut.
# shellcheck shell=sh

# --- namespaces and nft ---

may() {
  mask=
  while read -r key value; do [ "$key" = CapEff: ] && mask=$value; done </proc/self/status
  [ -n "$mask" ] && [ $(((0x${mask#????????} >> $1) & 1)) = 1 ]
}

# Holds the network namespace with this inode as descriptor 9, or none where it is this program's own.
# A name is looked at again once it is held: a pid may have become another's meanwhile.
enter() {
  inside=
  here=${here:-$(stat -Lc %i /proc/self/ns/net)}
  [ "$here" = "$1" ] && return 0
  hold_namespace "$1" "$2" && return 0
  for place in $(every_place | awk -v wanted="$1" '$1 == wanted { print $2 }' | head -n 3); do
    hold_namespace "$1" "$place" && return 0
  done
  inside=
  return 1
}

hold_namespace() {
  inside=1
  [ -e "$2" ] && { command exec 9<"$2"; } 2>/dev/null && [ "$(stat -Lc %i /proc/self/fd/9 2>/dev/null)" = "$1" ]
}

every_place() {
  stat -Lc '%i %n' /run/netns/* /proc/[0-9]*/ns/net 2>/dev/null
}

nft_here() {
  if [ -n "$inside" ]; then nsenter --net=/proc/self/fd/9 nft "$@"; else nft "$@"; fi
}

# Sets elements to what still stands in the kernel. Fails where nft could not tell, which is not the same as nothing.
read_elements() {
  elements=
  listing=$(nft_here -n list table inet "$table" 2>&1) || {
    case $listing in *'Error: No such file or directory'*) return 0 ;; esac
    return 1
  }
  elements=$(printf '%s\n' "$listing" | elements_of)
}

# Prints the elements that still cut in the kernel, as "set key".
standing_elements() {
  nft_here -n list table inet "$table" 2>/dev/null | elements_of
}

elements_of() {
  awk '
    $1 == "set" { set = $2 }
    /elements = \{/ { open = 1; sub(/.*elements = \{/, "") }
    open {
      last = sub(/\}.*/, "")
      count = split($0, element, ",")
      for (i = 1; i <= count; i++) {
        sub(/ timeout .*/, "", element[i])
        gsub(/^[ \t]+|[ \t]+$/, "", element[i])
        if (element[i] != "" && set != "standby") print set, element[i]
      }
      if (last) open = 0
    }'
}

# True while anything stands in the table, be it what cuts or the sign that it waits for its go, and where that cannot be seen.
is_in_use() {
  listing=$(nft_here -n list table inet "$table" 2>/dev/null) || return 0
  case $listing in *'elements = {'*) return 0 ;; esac
  return 1
}

# Deletes the table and looks whether it is gone. Only ever a table of the name of this fence.
remove_table() {
  nft_here delete table inet "$table" 2>/dev/null
  tables=$(nft_here list tables inet 2>&1) || { problem="nft could not list the tables: $tables"; return 1; }
  problem="the table $table could not be deleted"
  case "$tables
" in *"table inet $table
"*) return 1 ;; esac
  problem=
}

# The namespace that the fence was ordered for. One that nothing is in any more took its table with it.
enter_ordered() {
  ordered= gone=
  { read -r ordered ordered_pid; } 2>/dev/null <"$fence/namespace"
  [ -n "$ordered" ] || return 1
  enter "$ordered" "/proc/$ordered_pid/ns/net" && return 0
  gone=1
  return 1
}

# --- what to cut ---

# Sets elders to this program and all who started it, the worker among them.
ancestry() {
  elders=" $$ "
  elder=$$
  while [ "$elder" -gt 1 ] && look "$elder"; do
    elder=$parent
    elders="$elders$elder "
  done
}

# As judge, for a process that is to be cut off: it need not be signalled, and may have a network of its own.
judge_reachable() {
  judge_presence "$@" || return 1
  verdict=impossible
  problem="this user may not look at process $1"
  [ -e "/proc/$1/ns/net" ] && [ -e "/proc/$1/ns/pid" ] || return 1
  judge_home "$1" "$3" anywhere || return 1
  problem="this user lacks CAP_NET_ADMIN, which nftables needs: run the worker as root or give it that capability"
  may 12 || return 1
  problem="process $1 has a network namespace of its own, and this user lacks CAP_SYS_ADMIN, which entering it needs"
  [ /proc/self/ns/net -ef "/proc/$1/ns/net" ] || may 21 || return 1
  judge_server "$@" || return 1
  judge_thawed "$1" || return 1
  ancestry
  problem="process $1 started this worker and cannot be cut off by it"
  case $elders in *" $1 "*) return 1 ;; esac
  verdict=ready problem=
}

# What a program's file is where each container shows it as of a device of its own: inode, size and time of change.
program_key() {
  stat -Lc '%i %s %Y' -- "$1/exe" 2>/dev/null
}

# Sets neighbours and strangers: processes of the same program and user in the same network namespace, and in others. A
# program that anybody may run, or a network namespace that anybody may make, makes nobody a fellow.
find_fellows() {
  neighbours= strangers=
  user_of "$pid" || return
  member_user=$user
  [ -z "$container" ] || runs=$(readlink "/proc/$pid/exe") || runs=
  [ -z "$container" ] || wanted=$(program_key "/proc/$pid")
  for fellow in /proc/[0-9]*; do
    if ! [ "$fellow/exe" -ef "/proc/$pid/exe" ]; then
      [ -n "$container" ] && [ "$fellow/exe" -ef "$fellow/root$runs" ] && [ "$(program_key "$fellow")" = "$wanted" ] || continue
    fi
    [ /proc/self/ns/user -ef "$fellow/ns/user" ] && user_of "${fellow#/proc/}" && [ "$user" = "$member_user" ] || continue
    case "$kin$elders" in *" ${fellow#/proc/}:"* | *" ${fellow#/proc/} "*) continue ;; esac
    if [ "$fellow/ns/net" -ef "/proc/$pid/ns/net" ]; then
      neighbours="$neighbours ${fellow#/proc/}"
    else
      strangers="$strangers ${fellow#/proc/}"
    fi
  done
}

# Lists the descriptors of these processes, a line each. What a path holds that would not print, such as a line end, is a
# question mark: -q says so, and a ls that does not know it (busybox) does so by itself.
descriptors() {
  quiet=q
  ls -lnq /dev/null >/dev/null 2>&1 || quiet=
  for each in $1; do ls "-ln$quiet" "/proc/${each%:*}/fd" 2>/dev/null; done
}

# For awk: of the first two parts of its input, which are lists of descriptors, the sockets in them by part and number. Each
# part ends with a line of one equals sign.
held_sockets='
  $0 == "=" { part++; next }
  part < 2 {
    # All before the first arrow is the kernel and ls alone; a path may hold an arrow too, and begins with a slash.
    link = substr($0, index($0, " -> ") + 4)
    if (link ~ /^socket:\[[0-9]+\]$/) holds[part + 0, substr(link, 9, length(link) - 9)] = 1
    next
  }
'

# Reads the sockets of the namespace and prints "listens p", "own p", "other p", "dialled p:q" and "foreign p": where the
# process listens, where its fellows reach it, where it reaches them, the connections by which it does now, and which of
# their ports is listened on by somebody who is no fellow.
read_sockets() {
  {
    descriptors "$kin"
    echo =
    descriptors "$neighbours"
    echo =
    cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null
  } | awk -v given="$given" -v own="$own" -v others="$others" "$held_sockets"'
    function number(hex, i, n) {
      n = 0
      for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789ABCDEF", substr(hex, i, 1)) - 1
      return n
    }
    function plain(address) {
      sub(/^0000000000000000FFFF0000/, "", address)
      return address
    }
    $2 !~ /:/ { next }
    {
      split($2, here, ":")
      split($3, there, ":")
      from = number(here[2]); to = number(there[2])
      if ($4 == "0A") {
        if ((0, $10) in holds) mine[from] = 1
        if ((1, $10) in holds) theirs[from] = 1
        if (!((0, $10) in holds) && !((1, $10) in holds)) foreign[from] = 1
        next
      }
      if ((1, $10) in holds) reached[plain(there[1]), to, plain(here[1]), from] = 1
      if (!((0, $10) in holds)) next
      rows++
      source[rows] = plain(here[1]); sport[rows] = from; target[rows] = plain(there[1]); dport[rows] = to
    }
    END {
      if (given) {
        count = split(own, list, " ")
        for (i = 1; i <= count; i++) inward[list[i]] = 1
        count = split(others, list, " ")
        for (i = 1; i <= count; i++) outward[list[i]] = 1
      } else {
        for (i = 1; i <= rows; i++) {
          if (sport[i] in mine) {
            if ((source[i], sport[i], target[i], dport[i]) in reached) inward[sport[i]] = 1
          } else if ((dport[i] in theirs) && !(dport[i] in mine)) outward[dport[i]] = 1
        }
      }
      for (p in mine) print "listens", p
      for (p in inward) print "own", p
      for (p in outward) print "other", p
      for (p in outward) if (p in foreign) print "foreign", p
      for (i = 1; i <= rows; i++)
        if (!(sport[i] in mine) && (dport[i] in outward)) print "dialled", sport[i] ":" dport[i]
    }'
}

# Prints the addresses that this process is connected to and that are another fellow's own, in their one form.
read_addresses() {
  {
    descriptors "$kin"
    echo =
    descriptors "$strangers"
    echo =
    cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6"
    echo =
    for each in $strangers; do cat "/proc/$each/net/tcp" "/proc/$each/net/tcp6"; done
  } 2>/dev/null | awk "$held_sockets"'
    function number(hex) {
      return (index("0123456789ABCDEF", substr(hex, 1, 1)) - 1) * 16 + index("0123456789ABCDEF", substr(hex, 2, 1)) - 1
    }
    function turned(word) {
      return substr(word, 7, 2) substr(word, 5, 2) ":" substr(word, 3, 2) substr(word, 1, 2)
    }
    $2 !~ /:/ || $4 != "01" || !((part - 2, $10) in holds) { next }
    {
      split(part == 3 ? $2 : $3, end, ":")
      sub(/^0000000000000000FFFF0000/, "", end[1])
      if (end[1] ~ /^......7F$/ || end[1] == "00000000000000000000000001000000") next
      if (part == 3) { if (end[1] in remote) peer[end[1]] = 1 } else remote[end[1]] = 1
    }
    END {
      for (p in peer)
        if (length(p) == 8)
          print number(substr(p, 7, 2)) "." number(substr(p, 5, 2)) "." number(substr(p, 3, 2)) "." number(substr(p, 1, 2))
        else
          print turned(substr(p, 1, 8)) ":" turned(substr(p, 9, 8)) ":" turned(substr(p, 17, 8)) ":" turned(substr(p, 25, 8))
    }' | canonical
}

take_sockets() {
  listens= seen_own= seen_others= dialled= foreign=
  while read -r kind key; do
    case $kind in
      listens) listens="$listens $key" ;;
      own) seen_own="$seen_own $key" ;;
      other) seen_others="$seen_others $key" ;;
      dialled) dialled="$dialled $key" ;;
      foreign) foreign="$foreign $key" ;;
    esac
  done <<END
$(read_sockets)
END
}

# Sets way to Ports or Addresses, and what to cut (own, others, dialled; peers and peers6), for the process $pid. Takes what
# is said of its own and its peers' endpoints ("-" where nothing is said), and the ports that must never be cut. Or sets
# problem.
find_cut() {
  keep=" $(printf '%s' "$3" | tr ',' ' ') "
  set -- "$1" "$2" $SSH_CONNECTION
  [ -z "$6" ] || keep="$keep$6 "
  given= way= own= others= peers= peers6=
  look "$pid"
  family "$pid:$born"
  locals_of "$pid"
  if [ "$1" != - ]; then
    given=1 near= far=
    problem="the peers' endpoints are not all addresses or names with a port"
    split_endpoints "$1" || return 1
    own=$ports
    split_endpoints "$2" && [ -n "$ports" ] || return 1
    others=$ports
    number_addresses "$pid" || return 1
    for address in $addresses; do
      if is_local "$address"; then near=1; else far=1 peers="$peers $address"; fi
    done
    problem="some of the peers share the network namespace of process $pid and some do not, which is not supported"
    [ -z "$near" ] || [ -z "$far" ] || return 1
    [ -z "$near" ] || way=Ports
  fi
  ancestry
  find_fellows
  if [ -z "$given" ] || [ -n "$way" ]; then
    take_sockets
    [ -n "$given" ] || own=$seen_own others=$seen_others
    [ -n "$given" ] || [ -z "$own$others" ] || way=Ports
  fi
  if [ "$way" = Ports ]; then check_ports; else check_addresses; fi
}

check_ports() {
  problem="the sockets of process $pid cannot be read by this user"
  [ -n "$listens" ] || return 1
  set -- $listens
  problem="process $pid listens on port $1 alone, for clients as well as for peers, so a cut would take its clients too: give each member a network namespace, or pause it"
  [ $# -gt 1 ] || return 1
  problem="it cannot be told which port of process $pid is for its peers: no other member is connected to it"
  [ -n "$own" ] || return 1
  for port in $own; do
    problem="process $pid does not listen on the peer port $port"
    case "$listens " in *" $port "*) ;; *) return 1 ;; esac
  done
  problem="every port of process $pid is used by its peers, so a cut would take its clients too"
  left_open=
  for port in $listens; do
    case "$own " in *" $port "*) ;; *) left_open=1 ;; esac
  done
  [ -n "$left_open" ] || return 1
  # Who its peers are is a server's word, which anybody may have told it.
  for port in $foreign; do
    problem="port $port, which process $pid is said to reach a peer by, is listened on by a process of another program or user, so a cut would take its clients"
    return 1
  done
  for port in $own $others; do
    problem="port $port is kept open: it is ssh's, DNS's or one that the configuration keeps"
    case $keep in *" $port "*) return 1 ;; esac
  done
  problem=
}

check_addresses() {
  problem="process $pid shares this host's network namespace and no peers of it were found on loopback: real addresses can be cut only in a network namespace of the member's own"
  [ /proc/self/ns/net -ef "/proc/$pid/ns/net" ] && return 1
  way=Addresses
  [ -n "$given" ] || peers=$(read_addresses | tr '\n' ' ')
  problem="it cannot be told who the peers of process $pid are: it is connected to no other process of its program on this host, and the target names none"
  [ -n "${peers# }" ] || return 1
  locals_of self
  peers4=
  for address in $peers; do
    problem="the peer address $address is this host's own, and cutting it could cut our own way in"
    is_local "$address" && return 1
    case $address in *:*) peers6="$peers6 $address" ;; *) peers4="$peers4 $address" ;; esac
  done
  peers=$peers4
  problem=
}

# --- the rules ---

# "65101:65102" is how a pair of ports travels, "65101 . 65102" is how nft writes it.
timed() {
  listing=
  for key in $2; do
    case $1 in dialled) key="${key%:*} . ${key#*:}" ;; esac
    listing="$listing${listing:+, }$key timeout ${left}ms"
  done
  [ -z "$listing" ] || printf 'create element inet %s %s { %s }\n' "$table" "$1" "$listing"
}

# The table with its sets and chains, in which nothing cuts. create answers "File exists" where the table was made before.
print_sets() {
  # Nothing in it cuts. The sign tells those who cannot read our records that it waits for its go, and until when.
  cat <<END
create table inet $table
add set inet $table standby { type mark; flags timeout; }
add element inet $table standby { 1 timeout ${left}ms }
END
  if [ "$way" = Ports ]; then
    cat <<END
add set inet $table own { type inet_service; flags timeout; }
add set inet $table others { type inet_service; flags timeout; }
add set inet $table dialled { type inet_service . inet_service; flags timeout; }
add chain inet $table input { type filter hook input priority -300; policy accept; }
END
  else
    cat <<END
add set inet $table peers { type ipv4_addr; flags timeout; }
add chain inet $table input { type filter hook input priority -300; policy accept; }
add chain inet $table output { type filter hook output priority -300; policy accept; }
END
    [ -z "$peers6" ] || printf 'add set inet %s peers6 { type ipv6_addr; flags timeout; }\n' "$table"
  fi
}

# meta time is the second fence: the host's wall clock, in whole seconds (finer nft cannot say), never before the deadline.
print_limits() {
  limit="meta time < $wall"
  if [ "$way" = Ports ]; then
    cat <<END
add rule inet $table input $limit iif "lo" tcp dport @own drop
add rule inet $table input $limit iif "lo" tcp sport @own drop
add rule inet $table input $limit iif "lo" tcp sport . tcp dport @dialled drop
add rule inet $table input $limit iif "lo" tcp dport . tcp sport @dialled drop
add rule inet $table input $limit iif "lo" tcp dport @others tcp flags & (syn | ack) == syn drop
END
  else
    cat <<END
add rule inet $table input $limit ip saddr @peers drop
add rule inet $table output $limit ip daddr @peers drop
END
    [ -z "$peers6" ] || cat <<END
add rule inet $table input $limit ip6 saddr @peers6 drop
add rule inet $table output $limit ip6 daddr @peers6 drop
END
  fi
}

# What cuts, in one transaction: all of it stands or nothing. Where the table is gone it comes to nothing.
print_cut() {
  printf 'flush set inet %s standby\n' "$table"
  print_limits
  if [ "$way" = Ports ]; then
    timed own "$own"
    timed others "$others"
    timed dialled "$dialled"
  else
    timed peers "$peers"
    timed peers6 "$peers6"
  fi
}

# Each element that stands is taken out and made anew with less time, and the limit with it. One that has ended makes
# the deletion fail and with it the whole transaction, so nothing that is over can be begun again.
print_tightening() {
  # Where none of these stands there may be no set of them.
  peers6=
  case "
$standing" in *"
peers6 "*) peers6=1 ;; esac
  printf '%s\n' "$standing" | while read -r set key; do
    printf 'delete element inet %s %s { %s }\n' "$table" "$set" "$key"
    printf 'create element inet %s %s { %s timeout %sms }\n' "$table" "$set" "$key" "$left"
  done
  printf 'flush chain inet %s input\n' "$table"
  [ "$way" = Ports ] || printf 'flush chain inet %s output\n' "$table"
  print_limits
}

print_late_comers() {
  timed dialled "$dialled"
}
