/**
 * Which partitions a caller of `/v1` wants to recover.
 */
import { Guid } from "@inquorate/core/Guid"
import type { RecoverScope } from "@inquorate/core/Operations"
import * as Schema from "effect/Schema"

/** One partition, those of a service, those of the system services (which are this worker itself), or all. */
export const RecoverRequest = Schema.Union([
  Schema.Struct({ scope: Schema.Literal("Partition"), partitionId: Guid }).annotate({ title: "One partition" }),
  Schema.Struct({ scope: Schema.Literal("Service"), serviceName: Schema.String }).annotate({
    title: "The partitions of a service",
    examples: [{ scope: "Service", serviceName: "fabric:/lab/kv" }]
  }),
  Schema.Struct({ scope: Schema.Literal("System") }).annotate({ title: "The partitions of the system services" }),
  Schema.Struct({ scope: Schema.Literal("All") }).annotate({ title: "All partitions" })
]).annotate({
  identifier: "RecoverRequest",
  title: "Which partitions to recover",
  message:
    'Expected a "scope" of "Partition" with its "partitionId", "Service" with its "serviceName", "System" or "All"',
  examples: [{ scope: "All" }]
})
export type RecoverRequest = typeof RecoverRequest.Type

/** The same request in core's words. */
export const scopeOf = (request: RecoverRequest): RecoverScope => {
  switch (request.scope) {
    case "Partition":
      return { _tag: "Partition", partitionId: request.partitionId }
    case "Service":
      return { _tag: "Service", serviceName: nameOf(request.serviceName) }
    case "System":
      return { _tag: "System" }
    case "All":
      return { _tag: "All" }
  }
}

/** The name of a service or an application with its scheme, which a caller may leave out. */
export const nameOf = (name: string): string => (name.startsWith("fabric:/") ? name : `fabric:/${name}`)
