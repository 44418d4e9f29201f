/**
 * Cuts bytes into lines as they arrive, without ever holding more than one unfinished line.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Stream from "effect/Stream"
import type { Readable } from "node:stream"
import { type ExitWith, oneLine, usage } from "./exit.ts"

/** A line without its end, and its number from 1. `oversized` lines come without their bytes. */
export interface Line {
  readonly number: number
  readonly bytes: Uint8Array
  readonly oversized: boolean
}

/** Everything that reading knows between two chunks. */
interface State {
  readonly number: number
  readonly parts: ReadonlyArray<Uint8Array>
  readonly length: number
}

const newline = 0x0a
const carriageReturn = 0x0d
const start: State = { number: 1, parts: [], length: 0 }

/**
 * The lines of a file or of stdin. `bytesMax` is the longest line; the bytes of a longer one are dropped as they come,
 * because a file without a newline must not fill the memory.
 */
export const lines = (
  input: () => Readable,
  bytesMax: number,
  onBytes: (count: number) => void
): Stream.Stream<Line, ExitWith> =>
  // A few reads per pull: all that a fast file has to offer would be the whole file.
  NodeStream.fromReadable<Uint8Array, ExitWith>({
    evaluate: input,
    onError: (error) =>
      usage(`the input cannot be read: ${oneLine(error instanceof Error ? error.message : String(error))}`),
    chunkSize: 4
  }).pipe(
    Stream.mapAccumArray(() => start, (state, chunks) => {
      const found: Array<Line> = []
      let next = state
      for (const chunk of chunks) {
        onBytes(chunk.length)
        next = cut(next, chunk, bytesMax, found)
      }
      return [next, found]
    }, { onHalt: (state) => state.length === 0 ? [] : [finish(state, bytesMax)] })
  )

const cut = (state: State, chunk: Uint8Array, bytesMax: number, found: Array<Line>): State => {
  let next = state
  let from = 0
  for (let to = chunk.indexOf(newline); to !== -1; to = chunk.indexOf(newline, from)) {
    found.push(finish(append(next, chunk.subarray(from, to), bytesMax), bytesMax))
    next = { number: next.number + 1, parts: [], length: 0 }
    from = to + 1
  }
  return from === chunk.length ? next : append(next, chunk.subarray(from), bytesMax)
}

const append = (state: State, part: Uint8Array, bytesMax: number): State => {
  const length = state.length + part.length
  return { number: state.number, parts: length > bytesMax ? [] : [...state.parts, part], length }
}

const finish = ({ length, number, parts }: State, bytesMax: number): Line => {
  if (length > bytesMax) {
    return { number, bytes: new Uint8Array(0), oversized: true }
  }
  const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  return { number, bytes: bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes, oversized: false }
}
