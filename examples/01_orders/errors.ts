/** How a run can fail, as values. */
import * as Data from "effect/Data"

/** The input or the options cannot be used. */
export class Unusable extends Data.TaggedError("Unusable")<{ readonly message: string }> {}

/** A line could not be handed to the broker. */
export class NotPublished extends Data.TaggedError("NotPublished")<{ readonly message: string }> {}

/** The run ended, and its numbers are not what they must be. */
export class DoesNotAddUp extends Data.TaggedError("DoesNotAddUp")<{ readonly message: string }> {}
