/** What the generator believes of an open reader, without a broker to ask. */
export interface Guess {
  /** Which of the program's consumers; -1 for one of its own. */
  readonly consumer: number
  readonly ordered: boolean
  stopped: boolean
  /** How many messages may be there to take, and how many it may hold: guesses, so that few steps come to nothing. */
  there: number
  held: number
  /** Which part of the messages it reads. */
  readonly part: number
}

export const hasMore = (reader: Guess): boolean => reader.there >= 1
export const holds = (reader: Guess): boolean => reader.held >= 0.4
