/**
 * Finds out that the other end of a connection has gone silent.
 *
 * That is so when the ping after four unanswered ones is due: four to five pauses after it went, depending on where between two
 * pings that was, so 2.0 to 2.5 s. Not earlier, because until then its server serves the pulls that it has (`pulls.ts`);
 * and half a second before anybody may still be told that all is well, for timers that are late and for the word to get
 * around.
 *
 * An answer can be late because it stands behind all that the server had to send first: seconds' worth, of hundreds of
 * readers on a machine with much to do, or of one reader on a thin line. Or the ping itself stands behind what is
 * published there. To end such a connection is to lose all that is on it, which goes over the same line again, just as late.
 * So nobody is silent from whom messages come, or who takes what waits here. Where only the way there is dead, messages
 * end when the pulls do, which is as soon as this would be noticed otherwise; and where nobody is there, nothing that
 * waits is taken.
 */
const PING_EVERY_MS = 500
const UNANSWERED_MAX = 4
/** So many bytes in a pause: messages, and not the last statuses of pulls. */
const FLOWS_BYTES = 8 * 1024
/** What waits is taken in large pieces, and so with gaps: so many pauses long. */
const TAKEN_WITHIN = 4

export interface Options {
  /** Resolves when the answer has come, and rejects or never resolves when there is none. */
  readonly ping: () => Promise<void>
  /** What waits to be written, and what was written so far, in bytes. */
  readonly outgoing: () => { readonly waits: number; readonly written: number }
  /** The other end is silent. Called once. */
  readonly silent: () => void
}

export class Pings {
  readonly #options: Options
  readonly #timer: NodeJS.Timeout
  #unanswered = 0
  #came = 0
  #written = 0
  /** For so many pauses nothing of what waits was taken. */
  #stuck = 0

  constructor(options: Options) {
    this.#options = options
    this.#timer = setInterval(() => this.#due(), PING_EVERY_MS)
  }

  /** So many bytes have come. */
  came(bytes: number): void {
    this.#came += bytes
  }

  /** Something was answered that had been written before: as good as a ping. */
  answered(): void {
    this.#unanswered = 0
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #due(): void {
    const { waits, written } = this.#options.outgoing()
    this.#stuck = written - this.#written >= FLOWS_BYTES ? 0 : this.#stuck + 1
    const flows = this.#came >= FLOWS_BYTES || (waits > 0 && this.#stuck < TAKEN_WITHIN)
    this.#came = 0
    this.#written = written
    if (this.#unanswered >= UNANSWERED_MAX && !flows) {
      this.end()
      this.#options.silent()
      return
    }
    this.#unanswered++
    this.#options.ping().then(() => this.answered(), () => {})
  }
}
