/**
 * Group commit: writes that arrive within one turn of the event loop share one transaction and one fsync. Each write
 * stands in a savepoint of its own, so that one that fails takes nothing of the others with it. Nobody hears "done"
 * before the commit is on disk. A commit takes a bounded number of writes: while it runs the process does nothing else,
 * and where thousands are held at once, thousands may have something to store in one turn.
 */
import * as Effect from "effect/Effect"
import { StoreError } from "@inquorate/core/OperationStore"
import { type Held, unavailable } from "./SqliteFile.ts"

/** A queue of writes over one database. */
export interface GroupCommit {
  /** Runs a synchronous write within the next commit. A `StoreError` it throws is its own answer. */
  readonly write: <A>(run: () => A) => Effect.Effect<A, StoreError>
  /** The same for a write that changes rows by one statement only, which SQLite does wholly or not at all by itself. */
  readonly writeOne: <A>(run: () => A) => Effect.Effect<A, StoreError>
  /** How many transactions were committed so far. */
  readonly commits: () => number
}

/**
 * Makes a queue of writes over one held database. `path` only names it in errors. Once the file is lost, to another
 * process or to whoever removed it, every write is answered `Fenced` and `onLost` is called.
 */
export const make = (path: string, { database, lost }: Held, onLost: (detail: string) => void): GroupCommit => {
  // These are prepared once. Every commit needs each of them, and nearly every write the savepoint's.
  const begin = database.prepare("BEGIN IMMEDIATE")
  const end = database.prepare("COMMIT")
  const savepoint = {
    begin: database.prepare("SAVEPOINT one_write"),
    release: database.prepare("RELEASE one_write"),
    rollback: database.prepare("ROLLBACK TO one_write")
  }
  let queue: Array<Pending> = []
  let commits = 0

  const perform = ({ alone, run }: Pending): Effect.Effect<never, StoreError> => {
    if (!alone) savepoint.begin.run()
    try {
      // The queue holds writes of every type. Each is resumed with what its own `run` returned.
      const value = run() as never
      if (!alone) savepoint.release.run()
      return Effect.succeed(value)
    } catch (thrown) {
      // A full disk may already have rolled the whole transaction back. Then every write of the batch fails with it.
      if (!database.isTransaction) throw thrown
      if (!alone) {
        savepoint.rollback.run()
        savepoint.release.run()
      }
      return Effect.fail(thrown instanceof StoreError ? thrown : unavailable(path, thrown))
    }
  }

  const refuseLost = (): void => {
    const detail = lost()
    if (detail === null) return
    onLost(detail)
    throw new StoreError({ reason: "Fenced", detail })
  }

  const commitAll = (): void => {
    const batch = queue.slice(0, most)
    queue = queue.slice(most)
    // The rest waits for a turn of its own, so that timers, sockets and heartbeats come in between.
    queue[0]?.schedule(commitAll)
    try {
      begin.run()
      refuseLost()
      for (const pending of batch) pending.answer = perform(pending)
      end.run()
      commits++
      // A file that was removed while it was written is on no disk that anybody will read.
      refuseLost()
    } catch (thrown) {
      if (database.isTransaction) database.exec("ROLLBACK")
      const failure = Effect.fail(thrown instanceof StoreError ? thrown : unavailable(path, thrown))
      for (const pending of batch) pending.answer = failure
    }
    for (const pending of batch) pending.resume(pending.answer!)
  }

  const enqueue = <A>(run: () => A, alone: boolean): Effect.Effect<A, StoreError> =>
    Effect.withFiber<A, StoreError>((fiber) =>
      Effect.callback<A, StoreError>((resume) => {
        const pending: Pending = {
          run,
          alone,
          resume: resume as Pending["resume"],
          // This goes through the fiber's own scheduler, so that a simulated clock waits for the commit like for any
          // other step.
          schedule: (task) => fiber.currentDispatcher.scheduleTask(task, 0),
          answer: undefined
        }
        queue.push(pending)
        if (queue.length === 1) pending.schedule(commitAll)
        // An interrupted writer takes its write back where its turn has not come. After that the write stands.
        return Effect.sync(() => {
          const index = queue.indexOf(pending)
          if (index > 0) queue.splice(index, 1)
          else if (index === 0) pending.run = () => undefined
        })
      })
    )

  return {
    write: (run) => enqueue(run, false),
    writeOne: (run) => enqueue(run, true),
    commits: () => commits
  }
}

// --- internal ---

/** The most writes of one commit: a few tens of milliseconds, and enough that the flush of the disk is shared by many. */
const most = 256

interface Pending {
  run: () => unknown
  /** True where the write needs no savepoint. */
  readonly alone: boolean
  readonly schedule: (task: () => void) => void
  readonly resume: (answer: Effect.Effect<never, StoreError>) => void
  answer: Effect.Effect<never, StoreError> | undefined
}
