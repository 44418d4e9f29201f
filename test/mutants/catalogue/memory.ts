/** A fake that lies: where the broker in memory does otherwise than nats-server. */
import type { Mutant } from "../Mutant.ts"

const consumers: ReadonlyArray<Mutant> = [
  {
    name: "one-delivery-too-many",
    breaks: "a message is delivered once more than max deliver",
    against: "server",
    file: "src/internal/memory/tracking.ts",
    find: `maxDeliver <= 0 || times < maxDeliver`,
    replace: `maxDeliver <= 0 || times <= maxDeliver`
  },
  {
    name: "nak-without-its-delay",
    breaks: "a message given back with a delay comes again at once",
    against: "server",
    file: "src/internal/memory/tracking.ts",
    find: `    if (delayMs > 0) {`,
    replace: `    if (delayMs < 0) {`
  },
  {
    name: "ack-floor-over-a-gap",
    breaks: "the ack floor rises to the last message that was answered, whatever is open below it",
    against: "server",
    file: "src/internal/memory/ledger.ts",
    find: `} else if (consumerSequence === this.consumerFloor + 1) {`,
    replace: `} else if (consumerSequence > this.consumerFloor) {`
  },
  {
    name: "work-queue-keeps-what-is-done",
    breaks: "an acknowledged message stays in a work queue",
    against: "server",
    file: "src/internal/memory/consumer.ts",
    find: `      this.#tracking.answer(sequence, consumerSequence)
      this.stream.release(sequence)`,
    replace: `      this.#tracking.answer(sequence, consumerSequence)`
  },
  {
    name: "max-ack-pending-plus-one",
    breaks: "a consumer delivers one more than may be unanswered",
    against: "server",
    file: "src/internal/memory/tracking.ts",
    find: `this.unanswered.size >= maxAckPending`,
    replace: `this.unanswered.size > maxAckPending`
  },
  {
    name: "returned-in-front",
    breaks: "what is returned last comes again first",
    against: "server",
    file: "src/internal/memory/unanswered.ts",
    find: `    this.#due.push(pending)`,
    replace: `    this.#due.splice(this.#head, 0, pending)`
  },
  {
    name: "renewal-renews-nothing",
    breaks: "a sign of life leaves the lease as it was",
    against: "server",
    file: "src/internal/memory/tracking.ts",
    find: `      pending.since = this.#options.now()
    } else {
      this.#lease(pending)
    }`,
    replace: `      pending.since = this.#options.now()
    }`
  },
  {
    name: "ack-all-without-the-last",
    breaks: "an ack for a prefix covers everything below its message, and not that itself",
    against: "server",
    file: "src/internal/memory/tracking.ts",
    find: `below <= sequence; below++`,
    replace: `below < sequence; below++`
  },
  {
    name: "waiting-pulls-count-as-idle",
    breaks: "a consumer whose readers wait in a long pull is forgotten as inactive",
    against: "server",
    file: "src/internal/memory/consumer.ts",
    find: `    } else if (this.#requests.size > 0) {`,
    replace: `    } else if (this.#requests.size < 0) {`
  },
  {
    name: "delivery-count-stays-at-one",
    breaks: "a redelivery does not say that it is one",
    against: "server",
    file: "src/internal/memory/tracking.ts",
    find: `    return { sequence, consumerSequence, deliveries }
  }

  /** What is due again`,
    replace: `    return { sequence, consumerSequence, deliveries: 1 }
  }

  /** What is due again`
  },
  {
    name: "term-comes-again",
    breaks: "a terminated message is delivered again",
    against: "server",
    file: "src/internal/memory/reading.ts",
    find: `        return this.#consumer.term(address, settlement.reason)`,
    replace: `        this.#consumer.nak(address, 0)
        return true`
  }
]

const streams: ReadonlyArray<Mutant> = [
  {
    name: "dedupe-window-slides",
    breaks: "each repeat of an id begins its dedupe window anew",
    against: "server",
    file: "src/internal/memory/stream.ts",
    find: `    return this.#ids.get(id)?.sequence`,
    replace: `    const known = this.#ids.get(id)
    if (known !== undefined) {
      this.#ids.delete(id)
      this.#ids.set(id, { ...known, at: now })
    }
    return known?.sequence`
  },
  {
    name: "interest-of-one-is-enough",
    breaks: "with retention by interest a message goes as soon as one of its consumers is done with it",
    against: "server",
    file: "src/internal/memory/stream.ts",
    find: `!this.#followers(message.subject).some((f) => f.needs(message))`,
    replace: `!this.#followers(message.subject).every((f) => f.needs(message))`
  },
  {
    name: "discard-new-takes-one-more",
    breaks: "a full stream that discards the new takes one more and drops the oldest",
    against: "server",
    file: "src/internal/memory/stream.ts",
    find: `maxMessages > 0 && this.log.messages >= maxMessages`,
    replace: `maxMessages > 0 && this.log.messages > maxMessages`
  },
  {
    name: "expects-the-last-of-the-stream",
    breaks: "what is expected of a subject's last message is compared with the stream's",
    against: "server",
    file: "src/internal/memory/stream.ts",
    find: `const last = this.log.lastOf(subject)?.sequence ?? 0`,
    replace: `const last = this.log.last`
  },
  {
    name: "removal-told-to-nobody",
    breaks: "a consumer goes on waiting for an answer to what the stream has forgotten",
    against: "server",
    file: "src/internal/memory/stream.ts",
    find: `      follower.removed(message)`,
    replace: `      follower.needs(message)`
  },
  {
    name: "bytes-of-the-publisher",
    breaks: "the stream keeps the publisher's own bytes, which may change",
    against: "server",
    file: "src/internal/memory/client.ts",
    find: `payload: payload.slice(), id`,
    replace: `payload, id`
  },
  {
    name: "begins-after-its-time",
    breaks: "a consumer that begins at a time leaves out what was stored at that very time",
    against: "server",
    file: "src/internal/memory/start.ts",
    find: `message.timestamp >= start.millis`,
    replace: `message.timestamp > start.millis`
  }
]

export const memory: ReadonlyArray<Mutant> = [...consumers, ...streams]
