/** The first lives of the simulation; `Simulation.long.test.ts` has more of them, and these among them. */
import { randomLives } from "./RandomLife.ts"

randomLives(10)
