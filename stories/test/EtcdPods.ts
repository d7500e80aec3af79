/** Three etcd as pods of a StatefulSet of the double of kubectl, on nodes of ours to choose. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { findBinary } from "@inquorate/lab/Etcd"
import * as KubectlDouble from "@inquorate/testkit/KubectlDouble"
import * as Harness from "./Harness.ts"
import type * as PodNetwork from "./PodNetwork.ts"

/** Why none of this can run here, or undefined. */
export const skip: string | undefined =
  KubectlDouble.skip ?? (findBinary(null) === null ? "no etcd; apt-get install etcd-server" : undefined)

if (skip !== undefined && process.env.INQUORATE_FORBID_SKIPS !== undefined) throw new Error(skip)

/** Starts the pods, each on its node, and waits until they take writes. The world's folder and configuration have this name. */
export const start = async (
  name: string,
  double: KubectlDouble.KubectlDouble,
  network: PodNetwork.PodNetwork,
  nodes: readonly [string, string, string]
): Promise<Harness.World> => {
  const members = nodes.map((node, index) => {
    double.kubectl(["create", "--filename=-"], JSON.stringify(podOf(index, node, double.folder, network)))
    const member = `etcd-${index}`
    return { name: member, pid: double.pidOf("db", member), address: `${network.of(index).address}:2379` }
  })
  const bare: Harness.World = {
    folder: fs.mkdtempSync(path.join(os.tmpdir(), `inquorate-${name}-`)),
    lab: { name: "orders", system: "etcd", members } as unknown as Harness.World["lab"],
    config: "",
    fences: double.state
  }
  const config = Harness.writeConfig(bare, `${name}.yaml`, {
    hosts: { prod: { kubernetes: { image: "none", state: double.state } } },
    clusters: { orders: { system: "etcd", pods: { host: "prod", namespace: "db", statefulSet: "etcd" } } }
  })
  const world = { ...bare, config }
  await Harness.until("the etcd takes writes", 30_000, () => Harness.writeCommits(world, 1000))
  return world
}

// --- internal ---

const podOf = (index: number, node: string, folder: string, network: PodNetwork.PodNetwork) => ({
  metadata: { name: `etcd-${index}`, namespace: "db", labels: { app: "etcd" } },
  spec: {
    nodeName: node,
    terminationGracePeriodSeconds: 0,
    network: network.of(index),
    owner: { apiVersion: "apps/v1", kind: "StatefulSet", name: "etcd", controller: true },
    containers: [
      {
        name: "etcd",
        command: [
          ...["etcd", "--name", `etcd-${index}`, "--data-dir", "/var/lib/etcd", "--log-level", "error"],
          ...["--listen-client-urls", `http://${network.of(index).address}:2379`],
          ...["--advertise-client-urls", `http://${network.of(index).address}:2379`],
          ...["--listen-peer-urls", `http://${network.of(index).address}:2380`],
          ...["--initial-advertise-peer-urls", `http://${network.of(index).address}:2380`],
          ...["--initial-cluster", [0, 1, 2].map((at) => `etcd-${at}=http://${network.of(at).address}:2380`).join(",")],
          // A busy machine holds up a leader for longer than a second.
          ...["--heartbeat-interval", "300", "--election-timeout", "3000"]
        ],
        // Nobody carries it out here: what counts is that it is read.
        livenessProbe: { httpGet: { path: "/health", port: 2379 }, failureThreshold: 5, periodSeconds: 10 },
        volumeMounts: [{ name: "data", mountPath: "/var/lib/etcd" }]
      }
    ],
    volumes: [{ name: "data", hostPath: { path: path.join(folder, `etcd-${index}`) } }]
  }
})
