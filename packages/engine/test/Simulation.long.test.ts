/** Random lives of engines, hosts and clusters, each from a seed. */
import { randomLives } from "./RandomLife.ts"

randomLives(25)
