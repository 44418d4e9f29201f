/**
 * Finds out that the other end of a connection has gone silent.
 *
 * That is so when the ping after four unanswered ones is due: four to five pauses after it went, depending on where between two
 * pings that was, so 2.0 to 2.5 s. Not earlier, because until then its server serves the pulls that it has (`pulls.ts`);
 * and half a second before anybody may still be told that all is well, for timers that are late and for the word to get
 * around.
 *
 * An answer can be late because it stands behind all that the server had to send first: seconds' worth, of hundreds of
 * readers on a machine with much to do, or of one reader on a thin line. To end such a connection is to lose all that is on
 * it, which comes again when its leases are over, just as late. So nobody is silent from whom messages come. Where only the
 * way there is dead, they end when the pulls do, which is as soon as this would be noticed otherwise.
 */
const PING_EVERY_MS = 500
const UNANSWERED_MAX = 4
/** Messages, and not the last statuses of pulls: so many bytes in a pause. */
const FLOWS_BYTES = 8 * 1024

export interface Options {
  /** Resolves when the answer has come, and rejects or never resolves when there is none. */
  readonly ping: () => Promise<void>
  /** The other end is silent. Called once. */
  readonly silent: () => void
}

export class Pings {
  readonly #options: Options
  readonly #timer: NodeJS.Timeout
  #unanswered = 0
  #came = 0

  constructor(options: Options) {
    this.#options = options
    this.#timer = setInterval(() => this.#due(), PING_EVERY_MS)
  }

  /** So many bytes have come. */
  came(bytes: number): void {
    this.#came += bytes
  }

  end(): void {
    clearInterval(this.#timer)
  }

  #due(): void {
    const flows = this.#came >= FLOWS_BYTES
    this.#came = 0
    if (this.#unanswered >= UNANSWERED_MAX && !flows) {
      this.end()
      this.#options.silent()
      return
    }
    this.#unanswered++
    this.#options.ping().then(() => void (this.#unanswered = 0), () => {})
  }
}
