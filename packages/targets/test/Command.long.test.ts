/**
 * Goal: the recipe for OVSDB, whose servers take their time to elect, does what its page says. Method: it is taken from its
 * page and run on real servers, as the one in the quick tests is.
 */
import { targetContract } from "@inquorate/testkit/TargetContract"
import * as fs from "node:fs"
import { freePorts } from "./EtcdCluster.ts"
import * as Recipe from "./Recipe.ts"

const schema = {
  name: "Inquorate",
  version: "1.0.0",
  tables: {
    Probe: { columns: { name: { type: "string" }, value: { type: "string" } }, indexes: [["name"]], isRoot: true }
  }
}

targetContract(
  "the recipe for OVSDB",
  Recipe.labOf("ovsdb.md", "ovsdb", ["d1", "d2", "d3"], async (folder) => {
    const ports = await freePorts(6)
    const raft = (index: number) => `tcp:127.0.0.1:${ports[index]}`
    fs.writeFileSync(`${folder}/schema`, JSON.stringify(schema))
    for (const [index, name] of ["d1", "d2", "d3"].entries()) {
      fs.mkdirSync(`${folder}/${name}`)
      if (index === 0) Recipe.runHere("ovsdb-tool", "create-cluster", `${folder}/d1/db`, `${folder}/schema`, raft(0))
      else Recipe.runHere("ovsdb-tool", "join-cluster", `${folder}/${name}/db`, "Inquorate", raft(index), raft(0))
    }
    const remotes = [3, 4, 5].map((index) => `tcp:127.0.0.1:${ports[index]}`)
    return {
      environment: { OVSDB_FOLDER: `${folder}/members`, OVSDB_REMOTES: remotes.join(",") },
      settings: { speaksAfterSeconds: 5 },
      start: (name) => {
        const index = Number(name.slice(1)) - 1
        fs.mkdirSync(`${folder}/members`, { recursive: true })
        fs.symlinkSync(`${folder}/${name}`, `${folder}/members/${name}`)
        const remote = `--remote=ptcp:${ports[3 + index]}:127.0.0.1`
        return ["/usr/sbin/ovsdb-server", `--unixctl=${folder}/${name}/ctl`, remote, "db"]
      }
    }
  }),
  {
    skip: Recipe.there("ovsdb-server", "ovsdb-client", "ovs-appctl") ? undefined : "apt-get install openvswitch-common"
  }
)
