/**
 * Goal: a test takes the quorum of what it started and gets it back, whatever happens to the test. Method: a lab of PostgreSQL; a test
 * that fails within the scope; a process that is killed while it holds the loss.
 */
import { lossesOnLab } from "./LabLosses.ts"

lossesOnLab("postgres")
