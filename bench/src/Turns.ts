/**
 * Two servers that do the same work, and take turns at it.
 */
import type { Child } from "./Child.ts"

/** How many a second, of each side by its name and round. */
export type Rates = Readonly<Record<string, ReadonlyArray<number>>>

/**
 * What each side does in a second. In each round both are started anew with stores of their own, so that neither grows
 * into the other's noise, and the other one begins.
 */
export const inTurns = async (
  rounds: number,
  rateOf: (server: Child) => Promise<number>,
  sides: Readonly<Record<string, (round: number) => Promise<Child>>>
): Promise<Rates> => {
  const rates = Object.fromEntries(Object.keys(sides).map((name) => [name, [] as Array<number>]))
  for (let round = 0; round < rounds; round++) {
    const servers = new Map<string, Child>()
    for (const [name, begin] of Object.entries(sides)) servers.set(name, await begin(round))
    const order = [...servers]
    if (round % 2 === 1) order.reverse()
    for (const [name, server] of order) rates[name]!.push(await rateOf(server))
    for (const server of servers.values()) await server.end()
  }
  return rates
}
