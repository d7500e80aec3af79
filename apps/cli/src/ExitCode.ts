/**
 * The exit codes of `inq`, in one place. They are part of its documented interface and never change their meaning.
 */

/** The exit codes of `inq`. */
export const exitCodes = {
  /** Done; with `--watch` or `watch`: the operation ended Completed. */
  done: 0,
  /** Something that should not happen. */
  internal: 1,
  /** The command line was wrong. */
  usage: 2,
  /** A rule or a guard said no, or what was named does not exist. */
  refused: 3,
  /** The operation ended Faulted. */
  faulted: 4,
  /** The operation ended Cancelled or ForceCancelled. */
  cancelled: 5,
  /** Nobody could be reached, or what answered is neither a worker nor a Service Fabric gateway. */
  unreachable: 6,
  /** `doctor` found something of ours that should be gone. */
  residue: 7,
  /** A lab could not be started or stopped, or this platform cannot do it. */
  lab: 8,
  /** Interrupted; a fault that was being watched has been lifted. */
  interrupted: 130
} as const
