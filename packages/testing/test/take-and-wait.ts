/** Takes a quorum, says so, and waits to be killed. */
import { quorumLoss } from "../src/QuorumLoss.ts"

const loss = await quorumLoss({ ...JSON.parse(process.argv[2]!), atMost: "2m" })
process.stdout.write(`${loss.members.join(", ")}\n`)
setInterval(() => {}, 1000)
