/** Goal: every front refuses a wrong request on a PostgreSQL group. Method: the first rows of `WrongInputs`. */
import { postgres, suite } from "./WrongInputs.ts"

suite(postgres, "first")
