/**
 * Which processes of a host listen on which ports, and what says who they are, read from `/proc` by one POSIX-shell
 * program. For servers that write no file with their process number. In another network namespace only a process that
 * listens on just the address asked for is seen: what listens there on all addresses, as in a container, could be anyone's.
 */
import type { Host, HostError } from "@inquorate/core/Host"
import * as Effect from "effect/Effect"

/** A process that listens on a port that was asked about. */
export interface Listener {
  readonly pid: number
  /** Field 22 of `/proc/<pid>/stat`, in clock ticks since boot. */
  readonly startTime: string
  /** The same as seconds since 1970 by the host's clock, good to a second. */
  readonly began: number
  readonly executable: string
  /** The folders below which it has the file open that was asked about. */
  readonly directories: ReadonlyArray<string>
}

/** What a host showed. */
export interface Listening {
  /** Those that listen on this address (`host:port`); `hidden` where somebody does whom our user may not look at. */
  readonly on: (address: string) => { readonly listeners: ReadonlyArray<Listener>; readonly hidden: boolean }
  /** A folder that was asked about with its links resolved, or as it was where our user cannot enter it. */
  readonly resolved: (folder: string) => string
}

/** What to look for on a host. */
export interface Sought {
  /** `host:port` each. */
  readonly addresses: ReadonlyArray<string>
  /** The path, from its data directory, of a file that the server keeps open, such as `member/snap/db`. */
  readonly openFile: string
  /** Folders whose links are to be resolved. */
  readonly folders: ReadonlyArray<string>
}

/** Looks at a host; bounded by `timeout` ms. */
export const find = (host: Host, sought: Sought, timeout: number): Effect.Effect<Listening, HostError> => {
  const ports = sought.addresses.map(portInHex)
  const own = sought.addresses.flatMap(ownInHex)
  return Effect.map(
    host.run(program, [ports.join("|"), own.join(" "), sought.openFile, ...sought.folders], { timeout }),
    ({ stdout }) => read(stdout)
  )
}

/** Reads what the program printed. */
export const read = (output: string): Listening => {
  const sockets: Array<{ readonly local: string; readonly inode: string }> = []
  const apart: Array<{ readonly local: string; readonly inode: string }> = []
  const holders = new Map<string, Set<number>>()
  const listeners = new Map<number, Listener>()
  const folders = new Map<string, string>()
  let booted = 0
  let folder = ""
  for (const line of output.split("\n")) {
    const [, word, rest] = /^(\S+) (.*)$/.exec(line) ?? ["", "", ""]
    const [first, text] = cleave(rest)
    const listener = listeners.get(Number(first))
    if (word === "boot") booted = Number(rest)
    else if (word === "folder") folder = rest
    else if (word === "resolved") folders.set(folder, rest)
    else if (word === "listen") sockets.push({ local: first, inode: text })
    else if (word === "apart") apart.push({ local: first, inode: text })
    else if (word === "holds") holders.set(text, (holders.get(text) ?? new Set()).add(Number(first)))
    else if (word === "process") {
      const [pid, began] = [Number(first), booted + Number(text) / ticksPerSecond]
      listeners.set(pid, { pid, startTime: text, began, executable: "", directories: [] })
    } else if (listener === undefined) continue
    else if (word === "executable") listeners.set(listener.pid, { ...listener, executable: text })
    else if (word === "within" && !listener.directories.includes(text)) {
      listeners.set(listener.pid, { ...listener, directories: [...listener.directories, text] })
    }
  }
  return {
    on: (address) => {
      const [own] = ownInHex(address)
      const inodes = [
        ...sockets.filter(({ local }) => serves(local, address)),
        ...apart.filter(({ local }) => local === own)
      ].map(({ inode }) => inode)
      const pids = new Set(inodes.flatMap((inode) => [...(holders.get(inode) ?? [])]))
      return {
        listeners: [...pids].flatMap((pid) => listeners.get(pid) ?? []),
        hidden: inodes.some((inode) => !holders.has(inode))
      }
    },
    resolved: (path) => folders.get(path) || path
  }
}

// --- internal ---

/** USER_HZ, the unit of `/proc/<pid>/stat`: 100 wherever Linux servers run. */
const ticksPerSecond = 100

const cleave = (text: string): readonly [first: string, rest: string] => {
  const at = text.indexOf(" ")
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)]
}

const portInHex = (address: string): string => Number(portOf(address)).toString(16).toUpperCase().padStart(4, "0")

// As /proc/net/tcp has it, where it is an IPv4 address that means the same in every network namespace.
const ownInHex = (address: string): ReadonlyArray<string> => {
  const bytes = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):/.exec(address)?.slice(1).map(Number) ?? [127]
  if (bytes[0] === 127 || bytes.some((byte) => byte > 255)) return []
  const hex = bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0"))
  return [`${hex.reverse().join("")}:${portInHex(address)}`]
}

const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1)

// True where a socket bound to `local`, an address and a port in hexadecimal, takes connections to `address`. Of IPv6
// and of names the port alone is compared.
const serves = (local: string, address: string): boolean => {
  const [bound = "", port = ""] = local.split(":")
  if (parseInt(port, 16) !== Number(portOf(address))) return false
  const asked = address.slice(0, address.lastIndexOf(":"))
  if (/^0+$/.test(bound) || !/^\d+(\.\d+){3}$/.test(asked)) return true
  if (bound.length !== 8 && !bound.startsWith("0000000000000000FFFF0000")) return false
  const bytes = (bound.slice(-8).match(/../g) ?? []).map((byte) => parseInt(byte, 16))
  return bytes.reverse().join(".") === asked
}

// $1 the ports in hexadecimal between bars, $2 the addresses to look for in other namespaces too, $3 the open file, then
// the folders. Other namespaces are looked at, by one process of each, only where this one has nobody on such a port. Few processes, for each costs 2 ms, and no
// shell loop over what may be long, for `read` takes it byte by byte. The sed holds the process that `ls` has come to; it
// tells that only where it is given more than one folder. In `stat` the name in parentheses may hold anything; the start
// time is field 20 after it.
const program = `
ports=$1 own=$2 file=$3
shift 3
sed -n 's/^btime /boot /p' /proc/stat
for folder; do
  echo "folder $folder"
  echo "resolved $(cd -P -- "$folder" 2>/dev/null && pwd -P)"
done
sockets=$(grep -hE "^ *[0-9]+: [0-9A-F]+:($ports) [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null)
inodes= here=
while read -r _ local _ _ _ _ _ _ _ inode _; do
  [ -n "$inode" ] || continue
  echo "listen $local $inode"
  inodes="$inodes|$inode"
  here="$here \${local##*:}"
done <<END
$sockets
END
elsewhere=
for address in $own; do
  case " $here " in *" \${address##*:} "*) ;; *) elsewhere="$elsewhere|$address" ;; esac
done
if [ -n "$elsewhere" ]; then
  tables=$(ls -l /proc/[0-9]*/ns/net 2>/dev/null |
    sed -nE 's|^.* /proc/([0-9]+)/ns/net -> net:(.*)$|\\2 /proc/\\1/net/tcp|p' | sort -u -k1,1 | sed 's/^[^ ]* //')
  sockets=$(grep -hE "^ *[0-9]+: (\${elsewhere#|}) [0-9A-F]+:0000 0A " $tables /dev/null 2>/dev/null)
  while read -r _ local _ _ _ _ _ _ _ inode _; do
    [ -n "$inode" ] || continue
    echo "apart $local $inode"
    inodes="$inodes|$inode"
  done <<END
$sockets
END
fi
[ -n "$inodes" ] || exit 0
open=$(ls -l /proc/self/fd /proc/[0-9]*/fd 2>/dev/null | sed -nE \
  -e '/^\\/proc\\//{' -e 's|^/proc/([^/]+)/fd:$|\\1|' -e h -e d -e '}' \
  -e "/ -> socket:\\\\[(\${inodes#|})\\\\]\\$/{" -e 's|^.*\\[([0-9]+)\\]$|\\1|' -e G -e 's|^(.*)\\n(.*)$|holds \\2 \\1|p' -e d -e '}' \
  -e "s|^.* -> (/.*)/$file\\$|\\\\1|" -e 't held' -e d -e ':held' -e G -e 's|^(.*)\\n(.*)$|within \\2 \\1|p')
links=
while read -r word pid _; do
  [ "$word" = holds ] || continue
  case " $links " in *" /proc/$pid/exe "*) continue ;; esac
  read -r stat 2>/dev/null <"/proc/$pid/stat" || continue
  links="$links /proc/$pid/exe"
  set -- \${stat##*) }
  echo "process $pid \${20}"
done <<END
$open
END
echo "$open"
[ -n "$links" ] || exit 0
ls -l $links 2>/dev/null | sed -nE 's|^.* /proc/([0-9]+)/exe -> (.*)$|executable \\1 \\2|p'
`
