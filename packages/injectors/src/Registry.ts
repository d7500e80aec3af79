/**
 * The mechanisms there are. A new one is a module and a line here; configuration, worker and `inq doctor` read this list.
 */
import type { Host } from "@inquorate/core/Host"
import type { Injector } from "@inquorate/core/Injector"
import * as Netfilter from "./Netfilter.ts"
import * as Pause from "./Pause.ts"

/** What a mechanism is told of the worker that uses it. */
export interface InjectorSettings {
  /** Ports that are never cut: the worker's own and its store's. */
  readonly keepPorts: ReadonlyArray<number>
}

/** Makes a mechanism for these hosts, by label. */
export type MakeInjector = (hosts: ReadonlyMap<string, Host>, settings: InjectorSettings) => Injector

/** Every mechanism by its name, the usual one first. */
export const injectors = {
  pause: (hosts) => Pause.make(hosts),
  netfilter: (hosts, { keepPorts }) => Netfilter.make(hosts, { keepPorts })
} as const satisfies Readonly<Record<string, MakeInjector>>

/** The name of a mechanism. */
export type InjectorName = keyof typeof injectors

/** The names of the mechanisms, the usual one first. */
export const injectorNames = Object.keys(injectors) as ReadonlyArray<InjectorName>
