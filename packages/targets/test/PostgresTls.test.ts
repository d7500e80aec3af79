/** TLS to the servers of a lab that have it off, in each mode that libpq knows, or for some roles alone. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { as, errorOf, noOpenssl, skip, sql } from "./PostgresLab.ts"
import { admit, encrypted, tls } from "./PostgresTlsLab.ts"

describe.skipIf(skip || noOpenssl)("TLS", () => {
  it.live("is not demanded of a server that has none but where it is asked for", () =>
    Effect.gen(function* () {
      for (const mode of ["disable", "allow", "prefer"] as const)
        assert.deepStrictEqual(yield* encrypted(tls(mode)), [false])
      assert.include((yield* errorOf(tls("require"))).detail, "the server has TLS off")
      yield* sql(["create role tls_only login password 'tls_only' in role pg_monitor"])
      yield* admit("hostssl all tls_only all scram-sha-256\nhost all tls_only all reject")
      assert.include((yield* errorOf(as("tls_only"))).detail, "hostssl")
    })
  )
})
