/**
 * The cut: drops a member's peer traffic by an nftables table of its own on the member's host. The kernel itself opens
 * the cut again at the deadline. Clients still reach the member, so people can watch it refuse writes. The worker only
 * sends orders; what it knows of a fence is the host's own record.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import type { ProcessRef } from "@inquorate/core/Topology"
import * as HostProgram from "../HostProgram.ts"
import * as Programs from "../Programs.ts"

/** What a cut may not touch. */
export interface NetfilterOptions {
  /**
   * Ports that are never cut, such as the worker's own and its store's. A plan that would have to cut one is refused.
   * The ports of ssh (22, and the one this session came by) and of DNS (53) are kept without being named.
   */
  readonly keepPorts?: ReadonlyArray<number>
}

/**
 * The cut on these hosts, by label. It is of kernel grade: each rule has a limit on the wall clock, and each element of
 * its sets has a timeout on the kernel's own clock. Either opens the cut when every process of ours is dead. It needs
 * CAP_NET_ADMIN, and CAP_SYS_ADMIN for members in a network namespace of their own.
 *
 * Members that meet on loopback are cut by port, and not at all where clients use the same port (PostgreSQL). Members
 * in namespaces of their own are cut by the addresses of their peers, whatever the port. `ProcessRef.peers` says who
 * the peers are. Where it is missing, they are read from the member's connections with other processes of its program.
 * The host looks up a peer's name as the member would, and refuses a name that stands for several addresses of one
 * kind.
 */
export const make = (hosts: ReadonlyMap<string, Host>, options: NetfilterOptions = {}): Injector => {
  const keepPorts = [22, 53, ...(options.keepPorts ?? [])].join(",")
  return HostProgram.make(
    {
      name: "netfilter",
      stays: true,
      program: Programs.netfilter,
      wordsOf: (process) => [...peerWords(process), keepPorts]
    },
    hosts
  )
}

// --- internal ---

const peerWords = ({ peers }: ProcessRef): ReadonlyArray<string> =>
  peers === undefined ? ["-", "-"] : [peers.own.join(",") || "-", peers.others.join(",") || "-"]
