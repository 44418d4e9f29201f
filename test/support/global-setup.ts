/**
 * Runs once before all tests: gets every nats-server that was asked for, so that no test pays for the download.
 *
 * What cannot be had does not stop the tests that need no server. Those that need it fail, with this run's reason.
 */
import { find, missingVariable, wantedVersions } from "./nats/find.ts"

export default async function setup(): Promise<void> {
  const missing: Record<string, string> = {}
  for (const wanted of wantedVersions()) {
    await find(wanted).catch((error: Error) => {
      missing[wanted] = error.message
      console.error(`\n${error.message}\n`)
    })
  }
  if (Object.keys(missing).length > 0) process.env[missingVariable] = JSON.stringify(missing)
}
