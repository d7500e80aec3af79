# The addresses of peers: what is said of them, in numbers, in one form each, and names looked up where the process would
# look them up. Shell text, before that of the cut.
#
# An IPv4 address stands as four numbers, an IPv6 one as eight groups of four digits, and one of IPv4 in the form of IPv6
# as the IPv4 address that it is. Nothing else ever comes near a rule.
# shellcheck shell=sh

# Prints the one form of each address among the words of the standard input, or a word that is none as `? WORD`.
canonical() {
  tr ' ' '\n' | awk '
    function four(text, part, n, i) {
      n = split(text, part, ".")
      if (n != 4) return ""
      for (i = 1; i <= 4; i++)
        if (part[i] !~ /^(0|[1-9][0-9]?[0-9]?)$/ || part[i] + 0 > 255) return ""
      return text
    }
    function groups(text, list, at,   part, n, i) {
      if (text == "") return at
      n = split(text, part, ":")
      for (i = 1; i <= n; i++) {
        if (part[i] !~ /^[0-9a-f]+$/ || length(part[i]) > 4) return -1
        list[++at] = substr("0000" part[i], length(part[i]) + 1)
      }
      return at
    }
    function six(text,   tail, part, first, last, list, rest, count, more, i, gap) {
      text = tolower(text)
      if (text ~ /\./) {
        tail = text
        sub(/^.*:/, "", tail)
        if (four(tail) == "") return ""
        split(tail, part, ".")
        text = substr(text, 1, length(text) - length(tail)) sprintf("%x:%x", part[1] * 256 + part[2], part[3] * 256 + part[4])
      }
      gap = index(text, "::")
      first = gap ? substr(text, 1, gap - 1) : text
      last = gap ? substr(text, gap + 2) : ""
      split("", list); split("", rest)
      count = groups(first, list, 0)
      more = groups(last, rest, 0)
      if (count < 0 || more < 0 || count + more > 8 || (!gap && count != 8) || (gap && count + more > 7)) return ""
      for (i = count + 1; i <= 8 - more; i++) list[i] = "0000"
      for (i = 1; i <= more; i++) list[8 - more + i] = rest[i]
      text = list[1]
      for (i = 2; i <= 8; i++) text = text ":" list[i]
      if (text ~ /^0000:0000:0000:0000:0000:ffff:/) return mapped(list[7] list[8])
      return text
    }
    function mapped(hex,   i, out) {
      for (i = 1; i < 8; i += 2)
        out = out (i > 1 ? "." : "") ((index("0123456789abcdef", substr(hex, i, 1)) - 1) * 16 + index("0123456789abcdef", substr(hex, i + 1, 1)) - 1)
      return out
    }
    $0 != "" {
      form = $0 ~ /:/ ? six($0) : four($0)
      print form == "" ? "? " $0 : form
    }'
}

# The addresses that belong to the network namespace of a process, in their one form, with blanks around each.
locals_of() {
  locals=" $({
    awk '/\|--/ { a = $2 } /host LOCAL/ { print a }' "/proc/$1/net/fib_trie"
    sed 's/ .*//; s/..../&:/g; s/:$//' "/proc/$1/net/if_inet6"
  } 2>/dev/null | canonical | tr '\n' ' ')"
}

is_local() {
  case $1 in 127.* | 0000:0000:0000:0000:0000:0000:0000:0001) return 0 ;; esac
  case $locals in *" $1 "*) return 0 ;; esac
  return 1
}

# Sets addresses and ports from "host:port,…", the addresses and names as they are given. True where all have that form.
split_endpoints() {
  addresses= ports=
  [ "$1" = - ] && return 0
  for endpoint in $(printf '%s' "$1" | tr ',' ' '); do
    port=${endpoint##*:} address=${endpoint%:*}
    case $address in
      '['*']') address=${address#[} address=${address%]} ;;
      *:*) return 1 ;;
    esac
    is_number "$port" && [ "$port" -ge 1 ] && [ "$port" -le 65535 ] || return 1
    case $address in '' | [!0-9a-zA-Z_:]* | *[!0-9a-zA-Z_.:-]*) return 1 ;; esac
    [ ${#address} -le 253 ] || return 1
    addresses="$addresses $address" ports="$ports $port"
  done
}

# Prints what a process would learn of a name: in its network, and by its own hosts and resolv.conf where it sees other files
# than we do, since a container's names are known there alone. Those two are read, and nothing else of its files is used:
# getent sees them in an /etc that is there for it alone.
look_up() {
  set -- "$1" "$2" "/proc/$1/ns" "/proc/$1/root"
  if [ /proc/self/ns/net -ef "$3/net" ] && { [ /proc/self/ns/mnt -ef "$3/mnt" ] || ! may 21; }; then
    timeout 3 getent ahosts "$2"
  elif [ /proc/self/ns/mnt -ef "$3/mnt" ]; then
    timeout 3 nsenter --net="$3/net" getent ahosts "$2"
  else
    # shellcheck disable=SC2016 # for the shell in there
    timeout 3 nsenter --net="$3/net" unshare --mount --propagation private sh -c '
      mount -t tmpfs -o size=1m,mode=755 tmpfs /etc || exit 1
      printf "hosts: files dns\n" >/etc/nsswitch.conf
      for file in hosts resolv.conf; do
        from=$2/etc/$file
        link=$(readlink "$from") && case $link in /*) from=$2$link ;; esac
        [ -f "$from" ] && head -c 65536 "$from" >"/etc/$file"
      done
      exec getent ahosts "$1"' sh "$2" "$4"
  fi 2>/dev/null </dev/null | awk '!($1 in had) { had[$1] = 1; print $1 }'
}

# Sets addresses to the numbers of what is in it, in their one form, each once. A name has one address of each kind, or
# nobody can tell which of them is the peer. Takes the process that would look names up.
number_addresses() {
  numbers=
  for address in $addresses; do
    case $address in
      *:*) ;;
      *[!0-9.]*)
        problem="the host has no getent, which looks up the peer's name $address: install it (libc-bin on Debian and Ubuntu), or have the members name each other by address"
        command -v getent >/dev/null || return 1
        found=$(look_up "$1" "$address")
        problem="the peer's name $address cannot be looked up where process $1 runs"
        [ -n "$found" ] || return 1
        found=$(printf '%s\n' "$found" | canonical | sort -u)
        problem="the peer's name $address stands for several addresses ($(printf '%s' "$found" | head -n 4 | tr '\n' ' ' | sed 's/ $//; s/ /, /g')), of which some may be another's: have the members name each other by address"
        [ "$(printf '%s\n' "$found" | grep -c :)" -le 1 ] && [ "$(printf '%s\n' "$found" | grep -vc :)" -le 1 ] || return 1
        numbers="$numbers $found"
        continue
        ;;
    esac
    numbers="$numbers $(printf '%s' "$address" | canonical)"
  done
  problem="the peers' endpoints are not all addresses or names with a port"
  case $numbers in *'?'*) return 1 ;; esac
  addresses=$(printf '%s\n' $numbers | awk '!($1 in had) { had[$1] = 1; print $1 }' | tr '\n' ' ')
}
