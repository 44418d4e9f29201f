/** Where a worker may die between its handler's failure and its message's end. */
export const steps = [
  /** in the handler, before it fails */
  "handler",
  /** the letter is made, and nobody has it */
  "beforePublish",
  /** the letter is on its way */
  "publishing",
  /** the broker has said that it is stored */
  "confirmed",
  /** the letter is stored, the message is not settled */
  "givingUp",
  /** the verdict is there, and nobody has it */
  "settling",
  /** the verdict is on its way */
  "settled"
] as const

export type Step = typeof steps[number]
