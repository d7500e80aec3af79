/**
 * Chance that can be repeated: every draw follows from the seed and from the draws before it. A fork draws for itself,
 * so that more draws in one place change none in another.
 */

/** A source of chance. */
export interface Seed {
  /** A whole number from 0 up to, but not including, `bound`. */
  readonly below: (bound: number) => number
  /** A whole number from `least` to `most`, both included. */
  readonly between: (least: number, most: number) => number
  /** True this many times out of a hundred. */
  readonly percent: (times: number) => boolean
  /** One of these; fails where there is none. */
  readonly pick: <A>(of: ReadonlyArray<A>) => A
  /** A source of its own under a name. The same name gives the same source, whenever it is taken. */
  readonly fork: (name: string) => Seed
}

/** The source of chance of one seed, a whole number. It is Mulberry32: small, and the same everywhere. */
export const make = (seed: number): Seed => {
  let state = seed >>> 0
  const below = (bound: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
  return {
    below,
    between: (least, most) => least + below(most - least + 1),
    percent: (times) => below(100) < times,
    pick: (of) => {
      if (of.length === 0) throw new Error("there is nothing to pick from")
      return of[below(of.length)]!
    },
    fork: (name) => make(digest(name, seed))
  }
}

/** FNV-1a over UTF-16 units, continued from `from`. It tells traces apart. */
export const digest = (text: string, from = 0x811c9dc5): number => {
  let hash = from >>> 0
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0
  return hash
}
