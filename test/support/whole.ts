/** A whole number from the command line. Anything else ends the program with 2, and says what it should have been. */
export const whole = (name: string, text: string, least: number): number => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least) {
    process.stderr.write(`--${name} must be a whole number from ${least}, not ${text}\n`)
    process.exit(2)
  }
  return value
}
