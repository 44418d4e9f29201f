/** What the I/O thread knows of the application. */
export class Vitals {
  /** For how long it has not beaten beyond the time when it was due to. */
  lagMs = 0
  /** For how long its event loop has stood still; 0 when that is no more than it may. */
  blockedMs = 0
  /** Whether that was longer than it may at all. */
  isDead = false
  /** Its metrics, in Prometheus' words, as it last told them. */
  metrics = ""
}
