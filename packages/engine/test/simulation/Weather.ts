/**
 * How well the lines to the store and to the hosts do at the moment, and what that makes of each question: most arrive
 * within milliseconds; in bad weather some are lost on the way there, some on the way back (then it was done, and nobody
 * knows), some come late, some twice.
 */
import type { StoreError } from "@inquorate/core/OperationStore"
import type { InjectorError } from "@inquorate/core/Injector"
import type { Millis } from "@inquorate/core/Time"
import type { Seed } from "@inquorate/testkit/Seed"
import type { HostQuestion } from "@inquorate/testkit/SimulatedHost"
import type { Fate } from "@inquorate/testkit/SimulatedLine"
import type { StoreQuestion } from "@inquorate/core/MemoryStore"

/** How the store can be asked now. `Refusing` answers at once that it cannot, `Hanging` not at all. */
export type StoreWeather = "Fair" | "Slow" | "Losing" | "Refusing" | "Hanging"
/** How a host can be asked now. */
export type HostWeather = "Fair" | "Slow" | "Losing" | "Repeating" | "Unreachable"

/** The weather of one life; the fields that change are its state. */
export interface Weather {
  store: StoreWeather
  readonly hosts: Map<string, HostWeather>
  toStore: (question: StoreQuestion) => Fate
  readonly toHost: (host: string, question: HostQuestion) => Fate & { readonly lost: InjectorError["reason"] }
}

/** What a lost answer of the store is to whoever asked. */
export const storeLost: StoreError["reason"] = "Unavailable"

/** Fair weather, and whatever it becomes; `count` hears of each question that did not do well. */
export const make = (seed: Seed, count: (what: string) => void): Weather => {
  const weather: Weather = {
    store: "Fair",
    hosts: new Map(),
    toStore: (question) => {
      switch (weather.store) {
        case "Fair":
          return fair(seed, storePatience)
        case "Slow":
          return slow(seed, storePatience, 900)
        case "Refusing":
          return { ...never, patience: seed.between(1, 50) }
        case "Hanging":
          return { ...never, patience: storePatience }
        case "Losing":
          return losing(seed, storePatience, canComeLate.has(question), (what) => count(`store ${what}`))
      }
    },
    toHost: (host, question) => {
      const patience = hostPatience
      switch (weather.hosts.get(host) ?? "Fair") {
        case "Fair":
          return { ...fair(seed, patience), lost: "Unknown" }
        case "Slow":
          return { ...slow(seed, patience, 1500), lost: "Unknown" }
        case "Unreachable":
          return { ...never, patience: seed.between(1, 50), lost: "Unreachable" }
        case "Losing":
          return { ...losing(seed, patience, true, (what) => count(`host ${what}`)), lost: "Unknown" }
        case "Repeating": {
          const repeats = question !== "preflight" && seed.percent(60)
          if (repeats) count("host question came again")
          return {
            ...fair(seed, patience),
            again: repeats ? seed.pick([1, 20, 400, 3000, 12_000]) : null,
            lost: "Unknown"
          }
        }
      }
    }
  }
  return weather
}

// --- internal ---

/** How long a worker waits for its store, and for a host. */
const storePatience: Millis = 5000
const hostPatience: Millis = 12_000
/** What is one statement may reach the store after whoever sent it has given up; a transaction of several cannot. */
const canComeLate: ReadonlySet<StoreQuestion> = new Set(["create", "save", "append"])

const never = { there: null, back: null, again: null } as const

const fair = (seed: Seed, patience: Millis): Fate => ({
  there: seed.between(0, 3),
  back: seed.between(0, 3),
  again: null,
  patience
})

const slow = (seed: Seed, patience: Millis, most: Millis): Fate => ({
  there: seed.between(1, most),
  back: seed.between(1, most),
  again: null,
  patience
})

const losing = (seed: Seed, patience: Millis, mayComeLate: boolean, count: (what: string) => void): Fate => {
  const gives = seed.pick([5, 80, 700, patience])
  switch (seed.below(8)) {
    case 0:
      count("question lost")
      return { ...never, patience: gives }
    case 1:
      count("answer lost")
      return { ...fair(seed, gives), back: null }
    case 2:
      if (!mayComeLate) return fair(seed, patience)
      count("question late")
      return { ...fair(seed, gives), there: gives + seed.between(0, 4000) }
    case 3:
      count("answer late")
      return { ...fair(seed, patience), back: seed.between(200, 2000) }
    default:
      return fair(seed, patience)
  }
}
