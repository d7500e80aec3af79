/**
 * The pause: stops a member's processes through two keepers on its host, by ptrace or by SIGSTOP, and lets them go.
 * The worker only sends orders; what it knows of a fence is the host's own record.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import type { Grade } from "@inquorate/core/Plan"
import * as HostProgram from "../HostProgram.ts"
import * as Programs from "../Programs.ts"
import * as Supervisor from "../Supervisor.ts"

/**
 * The pause on these hosts, by label. It is of kernel grade where the host lets us trace the process: the kernel then
 * ends the fence, whichever of our processes dies. Otherwise, or where `prefer` is `Keeper`, it is of keeper grade: it
 * ends by itself while one of its two keepers lives.
 */
export const make = (
  hosts: ReadonlyMap<string, Host>,
  { prefer = "Kernel" }: { readonly prefer?: Grade } = {}
): Injector =>
  HostProgram.make(
    {
      name: "pause",
      stays: true,
      sideBySide: true,
      provesTwice: true,
      program: Programs.pause,
      wordsOf: ({ host }) => [hosts.get(host)?.kernelOnly === true ? "Only" : prefer],
      watchersOf: Supervisor.describePause
    },
    hosts
  )
