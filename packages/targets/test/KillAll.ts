/** Kills processes that were started here. */

/** Sends SIGKILL to each; whoever ended meanwhile, be it because another one did, is passed by. */
export const killAll = (pids: Iterable<number>): void => {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL")
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
    }
  }
}
