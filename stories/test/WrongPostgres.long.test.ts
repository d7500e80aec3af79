/**
 * Goal: no wrong input harms a PostgreSQL group or leaves its caller without an answer. Method: `WrongInputs`, but for the
 * rows that `WrongPostgres.test.ts` asks.
 */
import { postgres, suite } from "./WrongInputs.ts"

suite(postgres, "rest")
