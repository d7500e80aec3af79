/**
 * What befalls a life: workers that die, freeze, come back or meet a ghost of theirs, stores and hosts that cannot be
 * asked, keepers that are killed, clocks that step, servers that fall or will not be held. Each is counted, so that it is
 * visible that it really happened; all of it can be made good, so that what must come right in the end can be seen to.
 */
import type { Millis } from "@inquorate/core/Time"
import * as SimulatedGroup from "@inquorate/testkit/SimulatedGroup"
import * as CrashPoint from "./CrashPoint.ts"
import type { Life, Worker } from "./Life.ts"

/** Lets one thing befall a life, as its seed has it. */
export const strike = (life: Life): void => {
  const { seed } = life
  const [name, befall] = seed.pick(bag)
  const told = befall(life)
  if (told === null) return
  life.count(name)
  life.trace.write(`${name}${told === "" ? "" : `: ${told}`}`)
}

/** The names of all that can befall. */
export const names = (): ReadonlyArray<string> => kinds.map(([, name]) => name)

/** Makes everything good that can be; what must come right in the end then has a worker that sees to it. */
export const cease = (life: Life): void => {
  const { crashPoints, groups, seed, trace, weather } = life
  trace.write("everything is made good")
  crashPoints.clear()
  weather.store = "Fair"
  weather.hosts.clear()
  life.setHints(true)
  for (const group of groups) {
    group.set(SimulatedGroup.noTrouble)
    for (const server of group.servers) {
      server.setUp(true)
      server.setUnheld(false, false)
    }
  }
  for (const { process } of life.workers()) process.thaw()
  if (seed.percent(40)) life.bear("w8")
  superviseOne(life)
}

// --- internal ---

/** What happens, told in a word; null where it could not. */
type Befall = (life: Life) => string | null

// A ghost may be all that is left, and it ends once it hears that it is one: then another worker is started.
const superviseOne = (life: Life): void => {
  if (life.workers().length === 0) life.bear("w9")
  life.time.after(1000, life.fate, () => superviseOne(life))
}

const later = (life: Life, most: Millis, then: () => void): Millis => {
  const span = life.seed.between(50, most)
  life.time.after(span, life.fate, then)
  return span
}

const someWorker = (life: Life, state: "Running" | "Frozen"): Worker | undefined => {
  const able = life.workers().filter(({ process }) => process.state() === state)
  return able.length === 0 ? undefined : life.seed.pick(able)
}

const onWorker =
  (act: (life: Life, worker: Worker) => string | null): Befall =>
  (life) => {
    const worker = someWorker(life, "Running")
    return worker === undefined ? null : act(life, worker)
  }

const die = onWorker((life, { id, process }) => {
  process.kill()
  if (life.seed.percent(60)) later(life, 3000, () => life.bear(id))
  return process.name
})

const freeze = onWorker((life, { process }) => {
  process.freeze()
  const span = later(life, life.seed.pick([800, 2600, 7000]), () => process.thaw())
  return `${process.name} for ${span} ms`
})

const stopPolitely = onWorker((life, worker) => {
  worker.stop()
  if (life.seed.percent(60)) later(life, 3000, () => life.bear(worker.id))
  return worker.process.name
})

// Another process under the same id, as a supervisor that takes a frozen one for dead starts it.
const haunt = onWorker((life, { id, process }) => {
  process.freeze()
  life.bear(id)
  later(life, 6000, () => process.thaw())
  return process.name
})

const join: Befall = (life) => {
  if (life.workers().length >= 4) return null
  const id = `w${life.seed.between(1, 5)}`
  if (life.workers().some((worker) => worker.id === id)) return null
  life.bear(id)
  return id
}

const ambush: Befall = (life) => {
  const laid = CrashPoint.random(life.seed)
  life.crashPoints.lay(laid)
  return `${laid.cut._tag} at ${laid.question} ${laid.point}`
}

const stepWorkerClock = (most: Millis): Befall =>
  onWorker((life, { process }) => {
    const step = life.seed.between(-most, most)
    process.stepWall(step)
    return `${process.name} by ${step} ms`
  })

const stepHostClock: Befall = (life) => {
  const host = life.seed.pick(life.hosts)
  const step = life.seed.between(-700, 700)
  host.process.stepWall(step)
  return `${host.label} by ${step} ms`
}

const stepStoreClock =
  (least: Millis, most: Millis): Befall =>
  (life) => {
    const step = life.seed.between(least, most)
    life.invariants.reckoningMoved()
    if (step > 0) life.invariants.leasesCutShort()
    life.storeProcess.stepWall(step)
    return `${step} ms`
  }

const storeTurns =
  (weather: Life["weather"]["store"], most: Millis): Befall =>
  (life) => {
    life.weather.store = weather
    const span = later(life, most, () => {
      if (life.weather.store === weather) life.weather.store = "Fair"
    })
    return `for ${span} ms`
  }

// Another server takes the store's place: nobody is answered for a while, hints are lost, its clock is another one.
const failOver: Befall = (life) => {
  life.weather.store = life.seed.pick(["Refusing", "Hanging"])
  life.setHints(false)
  const span = later(life, 4000, () => {
    life.invariants.reckoningMoved()
    life.storeProcess.stepWall(-life.seed.below(200))
    life.weather.store = "Fair"
    life.setHints(true)
  })
  return `for ${span} ms`
}

const hostTurns =
  (weather: "Slow" | "Losing" | "Repeating" | "Unreachable", most: Millis): Befall =>
  (life) => {
    const struck = life.seed.percent(30) ? life.hosts : [life.seed.pick(life.hosts)]
    for (const { label } of struck) life.weather.hosts.set(label, weather)
    const span = later(life, most, () => {
      for (const { label } of struck) if (life.weather.hosts.get(label) === weather) life.weather.hosts.delete(label)
    })
    return `${struck.map(({ label }) => label).join(", ")} for ${span} ms`
  }

const killKeepers =
  (count: 1 | 2): Befall =>
  (life) => {
    const struck = life.hosts.filter((host) => host.hasKeepers())
    if (struck.length === 0) return null
    const host = life.seed.pick(struck)
    host.killKeepers(count)
    return host.label
  }

const troubleServer =
  (most: Millis, begin: (server: SimulatedGroup.SimulatedGroup["servers"][number]) => () => void): Befall =>
  (life) => {
    const group = life.seed.pick(life.groups)
    const index = life.seed.below(group.servers.length)
    const end = begin(group.servers[index]!)
    return `${group.cluster} m${index} for ${later(life, most, end)} ms`
  }

const goOn =
  (seen: boolean): Befall =>
  (life) => {
    if (!seen) life.invariants.mayGoUnseen()
    return troubleServer(4000, (server) => {
      server.setUnheld(true, seen)
      return () => server.setUnheld(false, false)
    })(life)
  }

const troubleGroup =
  (trouble: keyof SimulatedGroup.Trouble, most: Millis): Befall =>
  (life) => {
    const group = life.seed.pick(life.groups)
    group.set({ [trouble]: true })
    return `${group.cluster} for ${later(life, most, () => group.set({ [trouble]: false }))} ms`
  }

const kinds: ReadonlyArray<readonly [times: number, name: string, befall: Befall]> = [
  [6, "ambush laid", ambush],
  [3, "worker killed", die],
  [3, "worker frozen", freeze],
  [2, "worker stopped politely", stopPolitely],
  [2, "worker haunted by its ghost", haunt],
  [3, "worker joined", join],
  [2, "worker's UTC stepped a little", stepWorkerClock(900)],
  [1, "worker's UTC stepped far", stepWorkerClock(20_000)],
  [2, "host's UTC stepped", stepHostClock],
  [1, "store's UTC stepped back", stepStoreClock(-3000, -1)],
  [1, "store's UTC stepped forward", stepStoreClock(1, 4000)],
  [2, "store slow", storeTurns("Slow", 4000)],
  [3, "store loses questions and answers", storeTurns("Losing", 4000)],
  [1, "store refuses", storeTurns("Refusing", 5000)],
  [1, "store hangs", storeTurns("Hanging", 5000)],
  [2, "store failed over", failOver],
  [2, "host slow", hostTurns("Slow", 4000)],
  [3, "host loses questions and answers", hostTurns("Losing", 5000)],
  [2, "host hears questions again", hostTurns("Repeating", 5000)],
  [2, "host unreachable", hostTurns("Unreachable", 6000)],
  [2, "one keeper killed", killKeepers(1)],
  [1, "both keepers killed", killKeepers(2)],
  [1, "server down", troubleServer(3000, (server) => (server.setUp(false), () => server.setUp(true)))],
  [1, "server restarted", troubleServer(50, (server) => (server.restart(), () => {}))],
  [1, "server goes on though held", goOn(false)],
  [1, "server seen going on though held", goOn(true)],
  [1, "cluster unreachable", troubleGroup("unreachable", 4000)],
  [1, "cluster refuses writes", troubleGroup("refuses", 4000)],
  [1, "survivors silent", troubleGroup("silent", 4000)],
  [1, "cluster takes no writes", troubleGroup("stuck", 3000)]
]

const bag: ReadonlyArray<readonly [name: string, befall: Befall]> = kinds.flatMap(([times, name, befall]) =>
  Array.from({ length: times }, () => [name, befall] as const)
)
