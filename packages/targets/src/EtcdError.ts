/**
 * What can come of a call to an etcd member. A reason is named for what it means to the caller: whether the call may
 * have been carried out, whether asking again helps, and the sentence that a person reads. etcd tells its errors apart
 * by their text alone. Its own clients compare that text, and so do we.
 */
import * as Schema from "effect/Schema"

/**
 * Nothing was carried out: `Unreachable`, no connection; `Distrusted`, the connection or its certificates are not what was
 * configured, on either side; `Unauthorized`, the member wants a user; `Forbidden`, the user has no right to it; `Stale`, the
 * member no longer takes the token or the state of rights that the call came with; `Refused`, the member takes no such call
 * at any time.
 * May have been carried out: `Lost`, the connection ended while the call was open; `Failed`, the member answered with
 * another error; `TimedOut`, no answer in time; `Nonsense`, an answer that is none of etcd's.
 */
export class EtcdError extends Schema.TaggedError<EtcdError>()("EtcdError", {
  reason: Schema.Literals([
    "Unreachable",
    "Distrusted",
    "Unauthorized",
    "Forbidden",
    "Stale",
    "Refused",
    "Lost",
    "Failed",
    "TimedOut",
    "Nonsense"
  ]),
  detail: Schema.String
}) {}

/** As much of what a member says as is kept for a person. */
export const shorten = (text: string): string => (text.length <= textLimit ? text : `${text.slice(0, textLimit)}…`)

/** The one key of the probe. */
export const probeKey = "inquorate/probe"

/** True where the member wants to know who we are, or knows it and does not let us in. */
export const isDenied = (reason: EtcdError["reason"]): boolean => reason === "Unauthorized" || reason === "Forbidden"

/** True where something of ours has to be mended before the member lets us in, and waiting does not help. */
export const isBarred = (reason: EtcdError["reason"]): boolean => reason === "Distrusted" || isDenied(reason)

/** The settings of a configuration that a sentence may have to name. */
export interface Named {
  /** The configured user, or null for none. */
  readonly user: string | null
  /** The common name of the configured client certificate, or null where there is none. */
  readonly commonName: string | null
}

/** The meaning of an error that a member answered, by its text as etcd has it in every release from 3.4 on. */
export const ofAnswer = (address: string, answer: string, named: Named): EtcdError => {
  const text = shorten(answer)
  const said = (reason: EtcdError["reason"], detail: string) => new EtcdError({ reason, detail })
  const is = (known: string): boolean => text.startsWith(known)
  const whoever =
    named.user !== null
      ? `the user ${named.user}`
      : named.commonName === null
        ? "its user"
        : `the user ${named.commonName}, whom the client certificate names,`
  const isWithout = is("etcdserver: user name is empty")
  if (
    is("etcdserver: invalid auth token") ||
    is("etcdserver: revision of auth store is old") ||
    (isWithout && named.user !== null)
  ) {
    return said("Stale", `${address}: ${text}`)
  }
  if (isWithout) {
    const or =
      named.commonName === null
        ? "a client certificate whose common name is a user"
        : "the client certificate's common name as a user"
    return said(
      "Unauthorized",
      `authentication is on: configure user and password, or ${or}, with a role that may write ${probeKey}`
    )
  }
  if (is("etcdserver: authentication failed")) {
    return said("Unauthorized", `authentication is on, and ${whoever} with the configured password is not accepted`)
  }
  if (is("etcdserver: permission denied")) {
    const or = named.user === null && named.commonName !== null ? ", or configure user and password" : ""
    const grant = `etcdctl role grant-permission ROLE readwrite ${probeKey}${or}`
    return said("Forbidden", `authentication is on, and ${whoever} may not write ${probeKey}: ${grant}`)
  }
  if (is("etcdserver: user name not found") || is("etcdserver: role name not found")) {
    return said(
      "Unauthorized",
      `authentication is on, and ${whoever} is not known to the cluster, or one of its roles is not`
    )
  }
  if (is("etcdserver: mvcc: database space exceeded")) {
    return said("Refused", `the alarm NOSPACE: ${alarms["NOSPACE"]}`)
  }
  if (is("etcdserver: corrupt cluster")) return said("Refused", `the alarm CORRUPT: ${alarms["CORRUPT"]}`)
  if (is("etcdserver: rpc not supported for learner")) return said("Refused", `${address} is a learner: ${text}`)
  return said("Failed", `${address}: ${text}`)
}

/** What a person does about an alarm. */
export const alarms: Readonly<Record<string, string>> = {
  NOSPACE:
    "the database is as large as its quota allows and takes no writes; compact and defragment it, then etcdctl alarm disarm",
  CORRUPT:
    "the members' data differ and the cluster takes no requests; replace the corrupt member, then etcdctl alarm disarm"
}

// --- internal ---

const textLimit = 300
