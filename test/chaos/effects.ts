/**
 * What handlers do: a row in a table, and one in the inbox of the same database, in one transaction. The table of effects
 * takes the same id twice, so that an effect made twice is there to be seen.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite"

export class Effects {
  readonly #database: DatabaseSync
  readonly #remember: StatementSync
  readonly #make: StatementSync

  constructor(path: string) {
    this.#database = new DatabaseSync(path)
    // A process that is killed loses nothing that it has committed: the page cache is the machine's.
    this.#database.exec(`
      PRAGMA busy_timeout = 10000;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS inbox (pub INTEGER, n INTEGER, PRIMARY KEY (pub, n)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS effects (pub INTEGER, n INTEGER);
    `)
    this.#remember = this.#database.prepare("INSERT OR IGNORE INTO inbox VALUES (?, ?)")
    this.#make = this.#database.prepare("INSERT INTO effects VALUES (?, ?)")
  }

  make(pub: number, n: number): void {
    this.#database.exec("BEGIN IMMEDIATE")
    if (this.#remember.run(pub, n).changes === 1) {
      this.#make.run(pub, n)
    }
    this.#database.exec("COMMIT")
  }

  all(): ReadonlyArray<{ readonly pub: number; readonly n: number }> {
    return this.#database.prepare("SELECT pub, n FROM effects").all() as unknown as ReadonlyArray<
      { readonly pub: number; readonly n: number }
    >
  }

  close(): void {
    this.#database.close()
  }
}
