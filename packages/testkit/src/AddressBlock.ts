/**
 * Addresses of this machine for one test, which neither another test nor a lab in namespaces has meanwhile. A block is
 * claimed as such a lab claims its own: by the name of a link, which the kernel gives only once.
 */
import * as childProcess from "node:child_process"
import { randomInt } from "node:crypto"

/** Sixteen addresses of 198.18.0.0/16, of which the first and the last are nobody's. */
export interface AddressBlock {
  /** The interface by which this machine reaches them. */
  readonly link: string
  readonly address: (index: number) => string
}

/** How many bits of such an address name its block. */
export const prefix = 28

/** Claims a block by a link that leads into this network namespace, where its other end has that name. */
export const claim = (namespace: string, end: string): AddressBlock => {
  for (;;) {
    const number = randomInt(4080)
    const link = `inqlab${number.toString(16).padStart(4, "0")}`
    const words = ["link", "add", link, "type", "veth", "peer", "name", end, "netns", namespace]
    const { error, status, stderr } = childProcess.spawnSync("ip", words, { encoding: "utf8" })
    if (status === 0) return { link, address: (index) => `198.18.${number >> 4}.${(number & 15) * 16 + index}` }
    if (!stderr?.includes("File exists")) throw new Error(`ip ${words.join(" ")}: ${error?.message ?? stderr}`)
  }
}
