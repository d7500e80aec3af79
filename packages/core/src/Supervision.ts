/**
 * Who watches over a member or a group and acts when it goes quiet: systemd, Patroni, a kubelet, an operator. The
 * longest honest hold follows from all of them: the time until the first of them acts. It is pure: supervisors and a
 * length give an answer.
 */
import * as Schema from "effect/Schema"
import { formatMillis, Millis } from "./Time.ts"

/**
 * What a supervisor does when its patience is over. `RestartsMember`: the member serves again behind the fence.
 * `EndsMember`: it does not serve again when the fence is off.
 * `EmptiesQuorum`: the group goes on without the members that are out, as when Patroni empties
 * `synchronous_standby_names`. `DemotesPrimary`: another primary, or none, once the very member that it watches is silent.
 * `DestroysData`: data can be lost for ever, as
 * when an operator rebuilds a cluster from one survivor.
 */
export const Reaction = Schema.Literals([
  "RestartsMember",
  "EndsMember",
  "EmptiesQuorum",
  "DemotesPrimary",
  "DestroysData"
])
export type Reaction = typeof Reaction.Type

/** One supervisor. */
export class Supervisor extends Schema.Opaque<Supervisor>()(
  Schema.Struct({
    /** The member that it watches, or the group. */
    watches: Schema.String,
    /** Where that is written, in words, such as `systemd's WatchdogSec of etcd.service`. */
    source: Schema.String,
    /** How long after the loss began it may act at the earliest. */
    patience: Millis,
    reaction: Reaction
  }).annotate({ identifier: "Supervisor" })
) {}

/** The supervisor that acts first, one that can destroy data before others; null where nobody watches. */
export const mostImpatient = (supervisors: ReadonlyArray<Supervisor>): Supervisor | null =>
  [...supervisors].sort(
    (one, other) => one.patience - other.patience || Number(canDestroy(other)) - Number(canDestroy(one))
  )[0] ?? null

/** The longest honest hold: nobody acts within it. Null where nobody watches. */
export const longestHold = (supervisors: ReadonlyArray<Supervisor>): Millis | null =>
  mostImpatient(supervisors)?.patience ?? null

/** Those who act when these members fall silent: whoever demotes a primary does so only where that one is among them. */
export const concerned = (
  supervisors: ReadonlyArray<Supervisor>,
  silent: ReadonlyArray<string>
): ReadonlyArray<Supervisor> =>
  supervisors.filter(({ reaction, watches }) => reaction !== "DemotesPrimary" || silent.includes(watches))

/** Those who would act within a hold of this length, those who can destroy data first. */
export const actingWithin = (hold: Millis, supervisors: ReadonlyArray<Supervisor>): ReadonlyArray<Supervisor> =>
  supervisors
    .filter(({ patience }) => hold > patience)
    .sort((one, other) => Number(canDestroy(other)) - Number(canDestroy(one)) || one.patience - other.patience)

/** True for a supervisor whose action nobody may provoke, whatever the caller sets aside. */
export const canDestroy = ({ reaction }: Pick<Supervisor, "reaction">): boolean => reaction === "DestroysData"

/** A patience in words, exact to the millisecond. */
export const patienceInWords = (patience: Millis): string =>
  patience % 1000 === 0 ? formatMillis(patience) : `${patience} ms`

/** A supervisor in one sentence without its full stop. */
export const describeSupervisor = ({ patience, reaction, source, watches }: Supervisor): string =>
  `${source} ${verbs[reaction](watches)} ${patience === 0 ? "at once" : `after ${patienceInWords(patience)}`}`

// --- internal ---

const verbs: Readonly<Record<Reaction, (watches: string) => string>> = {
  RestartsMember: (member) => `may start ${member} again`,
  EndsMember: (member) => `may end ${member}, which does not serve again then`,
  EmptiesQuorum: (group) => `may let ${group} go on without the members that are out`,
  DemotesPrimary: (primary) => `may put another primary in the place of ${primary}`,
  DestroysData: (group) => `can destroy data of ${group}`
}
