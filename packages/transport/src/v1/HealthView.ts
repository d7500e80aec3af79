/**
 * Health as `/v1` tells it: the health of one thing, the reports that say so, and the health of each thing directly
 * below it. The rules are those of Service Fabric's health: everything is as bad as the worst report on it or on
 * anything below it.
 */
import { Guid } from "@inquorate/core/Guid"
import * as Schema from "effect/Schema"

/** The health of a thing in one word. */
export const HealthWord = Schema.Literals(["Ok", "Warning", "Error"]).annotate({ title: "Health" })
export type HealthWord = typeof HealthWord.Type

/** What can have a health. An application stands for a cluster, a service for a group of it. */
const HealthKind = Schema.Literals(["Cluster", "Node", "Application", "Service", "Partition", "Replica"]).annotate({
  title: "Kind",
  description:
    "Cluster is everything that the worker knows; an application is one configured cluster, a service a group"
})
export type HealthKind = typeof HealthKind.Type

/** One report on the thing itself. */
const HealthReport = Schema.Struct({
  source: Schema.String.annotate({ title: "Source", description: "Who reports", examples: ["System.FM"] }),
  property: Schema.String.annotate({ title: "Property", description: "What is reported on", examples: ["State"] }),
  state: HealthWord,
  description: Schema.String.annotate({ title: "Description", examples: ["Partition is in quorum loss."] }),
  since: Schema.String.annotate({
    title: "Since",
    description: "Since when it is reported so, in ISO 8601",
    examples: ["2026-11-22T08:00:00.000Z"]
  })
}).annotate({ identifier: "HealthReport", title: "A report" })
/** The health of one thing. */
export class HealthView extends Schema.Opaque<HealthView>()(
  Schema.Struct({
    kind: HealthKind,
    name: Schema.String.annotate({
      title: "Name",
      description: "Empty for the whole; a name, or the id of a partition",
      examples: ["fabric:/lab/kv"]
    }),
    state: HealthWord,
    reports: Schema.Array(HealthReport).annotate({ title: "Reports on the thing itself" }),
    below: Schema.Array(Schema.Struct({ kind: HealthKind, name: Schema.String, state: HealthWord })).annotate({
      title: "What is directly below it",
      description: "Nodes and applications below the whole, services below an application, and so on down to replicas"
    })
  }).annotate({ identifier: "HealthView", title: "The health of one thing" })
) {}

/** Whose health to tell: at most one of these. Without any, the health of everything. */
export class HealthSubject extends Schema.Opaque<HealthSubject>()(
  Schema.Struct({
    node: Schema.optionalKey(Schema.String).pipe(Schema.annotateKey({ description: "The name of a node" })),
    application: Schema.optionalKey(Schema.String).pipe(
      Schema.annotateKey({ description: "The name of a cluster, with fabric:/ before it or without" })
    ),
    service: Schema.optionalKey(Schema.String).pipe(
      Schema.annotateKey({ description: "CLUSTER/GROUP, with fabric:/ before it or without" })
    ),
    partition: Schema.optionalKey(Guid).pipe(Schema.annotateKey({ description: "The id of a partition" }))
  })
) {}
