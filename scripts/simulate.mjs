// The deterministic simulation of workers, hosts and stores from a seed: `pnpm simulate --seeds 1000000 --from 1`, or
// `pnpm simulate --seed 41` for one with its trace. What it does is in docs/simulation.md.
await import("../packages/engine/test/simulation/simulate.ts")
