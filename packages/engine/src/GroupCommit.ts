/**
 * Group commit: writes that arrive within one turn of the event loop share one transaction and one fsync. Each write
 * stands in a savepoint of its own, so that one that fails takes nothing of the others with it, and nobody hears
 * "done" before the commit is on disk.
 */
import * as Effect from "effect/Effect"
import type { DatabaseSync } from "node:sqlite"
import { StoreError } from "@inquorate/core/OperationStore"
import { type Held, unavailable } from "./SqliteFile.ts"

/** A queue of writes over one database. */
export interface GroupCommit {
  /** Runs a synchronous write within the next commit. A `StoreError` it throws is its own answer. */
  readonly write: <A>(run: () => A) => Effect.Effect<A, StoreError>
  /** How many transactions were committed so far. */
  readonly commits: () => number
}

/**
 * Makes a queue of writes over one held database; `path` only names it in errors. Once another process has taken the
 * file over, every write is answered `Fenced` and `onLost` is called.
 */
export const make = (path: string, { database, stillOurs }: Held, onLost: () => void): GroupCommit => {
  let queue: Array<Pending> = []
  let commits = 0

  const commitAll = (): void => {
    const batch = queue
    queue = []
    try {
      database.exec("BEGIN IMMEDIATE")
      if (!stillOurs()) {
        onLost()
        throw takenOver(path)
      }
      for (const pending of batch) pending.answer = inSavepoint(path, database, pending.run)
      database.exec("COMMIT")
      commits++
    } catch (thrown) {
      if (database.isTransaction) database.exec("ROLLBACK")
      const failure = Effect.fail(thrown instanceof StoreError ? thrown : unavailable(path, thrown))
      for (const pending of batch) pending.answer = failure
    }
    for (const pending of batch) pending.resume(pending.answer!)
  }

  return {
    write: <A>(run: () => A) =>
      Effect.withFiber<A, StoreError>((fiber) =>
        Effect.callback<A, StoreError>((resume) => {
          const pending: Pending = { run, resume: resume as Pending["resume"], answer: undefined }
          queue.push(pending)
          // Through the fiber's own scheduler, so that a simulated clock waits for the commit like for any other step.
          if (queue.length === 1) fiber.currentDispatcher.scheduleTask(commitAll, 0)
          // An interrupted writer whose turn has not come takes its write back; after that the write stands.
          return Effect.sync(() => {
            const index = queue.indexOf(pending)
            if (index > 0) queue.splice(index, 1)
            else if (index === 0) pending.run = () => undefined
          })
        })
      ),
    commits: () => commits
  }
}

// --- internal ---

const takenOver = (path: string): StoreError =>
  new StoreError({
    reason: "Fenced",
    detail: `The store ${path} was taken over by another worker while this one stood still. This one must end.`
  })

interface Pending {
  run: () => unknown
  readonly resume: (answer: Effect.Effect<never, StoreError>) => void
  answer: Effect.Effect<never, StoreError> | undefined
}

const inSavepoint = (path: string, database: DatabaseSync, run: () => unknown): Effect.Effect<never, StoreError> => {
  database.exec("SAVEPOINT one_write")
  try {
    // The queue holds writes of every type; each is resumed with what its own `run` returned.
    const value = run() as never
    database.exec("RELEASE one_write")
    return Effect.succeed(value)
  } catch (thrown) {
    // A full disk may already have rolled the whole transaction back; then every write of the batch fails with it.
    if (!database.isTransaction) throw thrown
    database.exec("ROLLBACK TO one_write; RELEASE one_write")
    return Effect.fail(thrown instanceof StoreError ? thrown : unavailable(path, thrown))
  }
}
