/**
 * Goal: the recipe for Ceph's monitors does what its page says. Method: three real monitors, each with a store of its
 * own, and the contract of a target.
 */
import { targetContract } from "@inquorate/testkit/TargetContract"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import { freePorts } from "./EtcdCluster.ts"
import * as Recipe from "./Recipe.ts"

const mons = ["m0", "m1", "m2"]

targetContract(
  "the recipe for Ceph's monitors",
  Recipe.labOf("ceph-mon.md", "mons", mons, async (folder) => {
    const fsid = randomUUID()
    const addresses = (await freePorts(mons.length)).map((port) => `v2:127.0.0.1:${port}`)
    const conf = `${folder}/conf`
    const settings = [
      `fsid = ${fsid}`,
      ...["cluster", "service", "client"].map((whose) => `auth_${whose}_required = none`),
      `mon_host = ${addresses.join(",")}`,
      // A survivor notices after twice that many seconds.
      "mon_lease = 1",
      "mon_election_timeout = 2"
    ]
    fs.writeFileSync(conf, `[global]\n${settings.join("\n")}\n`)
    const all = mons.flatMap((name, index) => ["--addv", name, `[${addresses[index]}]`])
    Recipe.runHere("monmaptool", "--create", "--fsid", fsid, ...all, `${folder}/map`)
    const own = (name: string) => ["-c", conf, "-i", name, "--mon-data", `${folder}/${name}`]
    for (const name of mons) {
      fs.mkdirSync(`${folder}/${name}`)
      Recipe.runHere("ceph-mon", ...own(name), "--mkfs", "--monmap", `${folder}/map`)
    }
    return {
      environment: { CEPH_CONF: conf, CEPH_MONS: mons.join(" "), CEPH_SOCKETS: folder },
      settings: { speaksAfterSeconds: 10 },
      start: (name) => [
        "ceph-mon",
        ...own(name),
        ...["-f", "--run-dir", folder, "--admin-socket", `${folder}/ceph-mon.${name}.asok`, "--log-file", "/dev/null"]
      ]
    }
  }),
  { skip: Recipe.there("ceph-mon", "ceph", "monmaptool") ? undefined : "apt-get install ceph-mon ceph-common" }
)
