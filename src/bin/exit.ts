/**
 * How a command ends: with a code, and with one line that says why.
 */
import * as Data from "effect/Data"

/** 0: it worked. 1: it did not. 2: it was asked for wrongly, or could not read its input. 130: it was told to stop. */
export type Code = 0 | 1 | 2 | 130

/** Ends the program. An empty message prints nothing: what was to be said has been said. */
export class ExitWith extends Data.TaggedError("ExitWith")<{ readonly code: Code; readonly message: string }> {}

export const failed = (message: string): ExitWith => new ExitWith({ code: 1, message })

export const usage = (message: string): ExitWith => new ExitWith({ code: 2, message })

/** One line for people: control characters in it may come from a message or a file name. */
export const oneLine = (text: string): string => escapeControls(text.replace(/\s*\n\s*/gu, " ").trim())

// oxlint-disable-next-line no-control-regex -- control characters are exactly what this is about
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/gu

/** Makes control characters visible, except tab and newline: text from elsewhere must not steer the terminal. */
export const escapeControls = (text: string): string =>
  text.replace(controls, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`)
