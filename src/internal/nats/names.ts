/** Names that go into subjects must be one token: a dot or a wildcard in them would address something else. */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { invalid, type TransportError } from "../../TransportError.ts"

const TOKEN = /^[A-Za-z0-9_-]{1,128}$/

export const token = (what: string, name: string): Effect.Effect<string, TransportError> =>
  TOKEN.test(name)
    ? Effect.succeed(name)
    : Effect.fail(invalid(what, `"${name.slice(0, 64)}" is not a name`, "Use 1 to 128 letters, digits, - and _."))

/** A name that nobody else can guess. */
export const random = (): string => randomBytes(15).toString("base64url").replaceAll("-", "x").replaceAll("_", "y")
