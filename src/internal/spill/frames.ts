/** Looks at the frames of a file one after the other, and reads the file in pieces. */
import { Buffer } from "node:buffer"
import type { File } from "./files.ts"
import { frameEnd, isWhole } from "./record.ts"

const PIECE_BYTES = 256 * 1024

export class Frames {
  readonly file: File
  /** Where the frame that was looked at last ends, in the file. */
  end = 0
  /** What was read last, and where it stands in the file. */
  #piece: Buffer = Buffer.alloc(0)
  #pieceAt = 0
  #needs = 0

  constructor(file: File) {
    this.file = file
  }

  /** The bytes that the frame at `offset` is in, and where it begins there. Good after `look` has found it whole. */
  get bytes(): Buffer {
    return this.#piece
  }

  local(offset: number): number {
    return offset - this.#pieceAt
  }

  /**
   * What stands at `offset` of a file that is good up to `limit`: a frame that is whole, one whose checksum is wrong, or
   * nothing that could be one. `more`: `fill` first, and look again.
   */
  look(offset: number, limit: number): "whole" | "damaged" | "none" | "more" {
    const at = this.local(offset)
    const isHere = at >= 0 && at < this.#piece.length
    const end = isHere ? frameEnd(this.#piece, at) : undefined
    if (end !== undefined && end <= this.#piece.length && this.#pieceAt + end <= limit) {
      this.end = this.#pieceAt + end
      return isWhole(this.#piece, at, end) ? "whole" : "damaged"
    }
    // What was read may have ended in the middle of it; of what begins with what was read last, enough is there.
    const needs = Math.min(limit - offset, Math.max(PIECE_BYTES, end === undefined ? 0 : end - at))
    if (needs <= 0 || (at === 0 && this.#piece.length >= needs)) {
      return "none"
    }
    this.#needs = needs
    return "more"
  }

  async fill(offset: number): Promise<void> {
    const piece = Buffer.allocUnsafe(this.#needs)
    const length = await this.file.read(piece, offset)
    // What somebody has cut off reads as nothing.
    this.#piece = piece.fill(0, length)
    this.#pieceAt = offset
  }
}
