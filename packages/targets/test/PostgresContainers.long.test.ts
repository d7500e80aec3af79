/**
 * Goal: PostgreSQL with quorum commit in containers of each engine loses its quorum and gets it back like any other.
 * Method: the suite of all engines, on a primary and two standbys.
 */
import * as Containers from "@inquorate/testkit/Containers"
import { postgres } from "./ContainedSystems.ts"
import { containerSuite } from "./ContainerSuite.ts"

for (const kind of Containers.kinds) containerSuite(postgres, kind)
