/**
 * A node as `/v1` tells it: a machine or a process that carries members of clusters. The facts are those of Service
 * Fabric's node query, and the words are our own.
 */
import { Guid } from "@inquorate/core/Guid"
import { DeactivationIntent } from "@inquorate/core/Request"
import * as Schema from "effect/Schema"
import { HealthWord } from "./HealthView.ts"

/** A node. */
export class NodeView extends Schema.Opaque<NodeView>()(
  Schema.Struct({
    name: Schema.String.annotate({ title: "Name", description: "By which faults name the node", examples: ["lab-m1"] }),
    instanceId: Schema.String.annotate({
      title: "Instance id",
      description: "Changes when the node starts anew. A stop or a start of the node has to give the present one",
      examples: ["133771342912345678"]
    }),
    status: Schema.Literals(["Up", "Down", "Disabling", "Disabled"]).annotate({
      title: "Status",
      description: "Disabling and Disabled are those of a deactivated node, whatever its members do"
    }),
    since: Schema.String.annotate({
      title: "Since",
      description: "Since when the node is up or down, in ISO 8601; where nobody tells it, since this worker saw it so",
      examples: ["2026-11-22T08:00:00.000Z"]
    }),
    health: HealthWord.annotate({ title: "Health", description: "Error where it is down, Warning where a member is" }),
    stopped: Schema.Boolean.annotate({ title: "Stopped", description: "True while a stop of ours holds it" }),
    address: Schema.String.annotate({ title: "Address", examples: ["10.0.0.7"] }),
    type: Schema.String.annotate({
      title: "Type",
      description: "The type of node, which chaos may be confined to",
      examples: ["InquorateNode"]
    }),
    faultDomain: Schema.String.annotate({ title: "Fault domain", examples: ["fd:/rack1"] }),
    upgradeDomain: Schema.String.annotate({ title: "Upgrade domain", examples: ["ud1"] }),
    deactivation: Schema.optionalKey(
      Schema.Struct({
        operationId: Guid,
        intent: DeactivationIntent,
        until: Schema.NullOr(Schema.String).annotate({
          title: "Until",
          description: "When the members start by themselves, in ISO 8601; null while they are still being stopped"
        })
      }).annotate({ title: "Deactivation", description: "Why the node is out of service, where it was deactivated" })
    )
  }).annotate({ identifier: "NodeView", title: "A node" })
) {}
