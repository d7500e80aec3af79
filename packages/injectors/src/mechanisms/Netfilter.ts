/**
 * The cut: drops a member's peer traffic by an nftables table of its own on the member's host, which the kernel itself
 * opens again at the deadline. Clients still reach the member, so the refusal of writes can be watched. The worker only
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
   * Ports that are never cut, such as the worker's own and its store's; a plan that needs one is refused. Those of ssh
   * (22, and the one this session came by) and DNS (53) are kept without being named.
   */
  readonly keepPorts?: ReadonlyArray<number>
}

/**
 * The cut on these hosts, by label. Of kernel grade: each rule has a limit on the wall clock, each element of its sets a
 * timeout on the kernel's own clock, and either opens it when every process of ours is dead. Needs CAP_NET_ADMIN, and
 * CAP_SYS_ADMIN for members in a network namespace of their own.
 *
 * Members that meet on loopback are cut by port, and not at all where clients use the same port (PostgreSQL); members in
 * namespaces of their own by the addresses of their peers, whatever the port. Who the peers are is read from
 * `ProcessRef.peers`, else from the connections the member has with other processes of its program. A peer's name is
 * looked up on the host as the member would, and refused where it stands for several addresses of one kind.
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
