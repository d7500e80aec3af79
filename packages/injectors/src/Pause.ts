/**
 * The pause: stops a member's processes with SIGSTOP through two keepers on its host, and lets them go. The worker only
 * sends orders; what it knows of a fence is the host's own record.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import * as KeptInjector from "./KeptInjector.ts"
import * as StoppedTree from "./StoppedTree.ts"

/** The pause on these hosts, by label. Of keeper grade: a fence ends by itself while one of its two keepers lives. */
export const make = (hosts: ReadonlyMap<string, Host>): Injector =>
  KeptInjector.make({ name: "pause", shell: mechanism, settingsOf: () => [] }, hosts)

// --- internal ---

/** What the keeper's program needs to be a pause. */
const mechanism = `${StoppedTree.shell}
mechanism=pause
tools=
patience=1000
stuck='the processes could not be continued'

fits() {
  :
}

keep_settings() {
  :
}

take_out() {
  halt_tree
}

free() {
  free_stopped "$1"
}

watch() {
  [ -e "$fence/broken" ] && return 0
  for token in $list; do
    same "\${token%:*}" "\${token#*:}" || continue
    case $state in
      [TtZXx]) ;;
      # A lift says so before its first SIGCONT.
      *) [ -e "$fence/dismissed" ] || [ -e "$fence/lifted" ] || true >"$fence/broken" ;;
    esac
  done
}

escaped() {
  for token in $list; do
    same "\${token%:*}" "\${token#*:}" && case $state in [TtZXx]) ;; *) return 0 ;; esac
  done
  return 1
}

last_word() {
  release
}

forget() {
  :
}
`
