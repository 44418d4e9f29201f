/**
 * Where test servers come from: every source in its order, and a loud end when there is none.
 */
import { assert, beforeEach, describe, it, onTestFinished } from "@effect/vitest"
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { debianMirrors, parseDeb822, parseSourcesList } from "./debian.ts"
import { find, wantedVersions } from "./find.ts"
import type { Surroundings } from "./find.ts"
import { withLock } from "./lock.ts"
import { compareVersions, matches, newest } from "./version.ts"

let world: string

beforeEach(async () => {
  world = await mkdtemp(join(tmpdir(), "sluice-find-"))
  onTestFinished(() => rm(world, { recursive: true, force: true }))
})

/** A machine with nothing at all on it, plus what a test puts there. */
const machine = (env: Surroundings["env"] = {}, docker = false): Surroundings => ({
  env: { PATH: join(world, "bin"), ...env },
  cacheDir: join(world, "cache"),
  aptDir: join(world, "apt"),
  dockerAnswers: () => Promise.resolve(docker)
})

/** Something that answers `--version` and nothing else. */
const fakeServer = async (folder: string, answer: string): Promise<string> => {
  await mkdir(join(world, folder), { recursive: true })
  const path = join(world, folder, "nats-server")
  await writeFile(path, `#!/bin/sh\necho "${answer}"\n`)
  await chmod(path, 0o755)
  return path
}

const failureOf = async (finding: Promise<unknown>): Promise<string> => {
  const outcome = await finding.then(() => undefined, (error: Error) => error)
  assert.instanceOf(outcome, Error)
  return `${outcome.name}: ${outcome.message}`
}

describe("find", () => {
  it("fails loudly on a machine that has none, and says what to install", async () => {
    const told = await failureOf(find("2.10", machine()))
    assert.include(told, "NoNatsServer: No nats-server 2.10 to test against")
    for (
      const looked of ["NATS_SERVER_BIN: not set", "PATH: no nats-server", "Debian mirror: no", "Docker: no daemon"]
    ) {
      assert.include(told, looked)
    }
    for (const remedy of ["install nats-server", "set NATS_SERVER_BIN=", "on Debian", "start Docker"]) {
      assert.include(told, remedy)
    }
  })

  it("takes the one named by hand before the one on the PATH", async () => {
    const path = await fakeServer("bin", "nats-server: v2.11.0")
    const named = await fakeServer("named", "nats-server: v2.10.1")
    const binary = { via: "binary", version: "2.10.1", path: named }
    assert.deepStrictEqual(await find("any", machine({ NATS_SERVER_BIN: named })), binary as never)
    assert.deepStrictEqual(await find("any", machine()), { via: "binary", version: "2.11.0", path })
    assert.deepStrictEqual(await find("2.11", machine({ NATS_SERVER_BIN: named })), {
      via: "binary",
      version: "2.11.0",
      path
    })
  })

  it("refuses one named by hand that is no nats-server, rather than passing it over", async () => {
    const wrong = await fakeServer("named", "hello")
    await fakeServer("bin", "nats-server: v2.11.0")
    assert.include(await failureOf(find("any", machine({ NATS_SERVER_BIN: wrong }))), "does not answer --version")
    const absent = join(world, "absent")
    assert.include(await failureOf(find("any", machine({ NATS_SERVER_BIN: absent }))), `set to ${absent}`)
  })

  it("latest is the newest of all, wherever it lies", async () => {
    await fakeServer("bin", "nats-server: v2.9.10")
    const path = await fakeServer("cache/2.15.1", "nats-server: v2.15.1")
    await fakeServer("cache/2.10.27", "nats-server: v2.10.27")
    assert.deepStrictEqual(await find("latest", machine()), { via: "binary", version: "2.15.1", path })
    assert.strictEqual((await find("any", machine()) as { version: string }).version, "2.9.10")
  })

  it("falls back to Docker, and goes there at once when told to", async () => {
    assert.deepStrictEqual(await find("2.9", machine({}, true)), { via: "docker", image: "nats:2.9" })
    await fakeServer("bin", "nats-server: v2.9.10")
    const docker = machine({ TEST_NATS_VIA: "docker" }, true)
    assert.deepStrictEqual(await find("any", docker), { via: "docker", image: "nats:latest" })
    assert.include(await failureOf(find("2.9", machine({ TEST_NATS_VIA: "docker" }))), "Docker: no daemon answers")
    assert.include(await failureOf(find("2.10", machine({ TEST_NATS_VIA: "binary" }, true))), "ruled out by")
    assert.include(await failureOf(find("2.9", machine({ TEST_NATS_VIA: "magic" }))), `TEST_NATS_VIA is "magic"`)
  })

  it("repeats what the test run has found out already", async () => {
    const env = { SLUICE_TEST_NATS_MISSING: JSON.stringify({ "2.8": "no such server" }) }
    assert.include(await failureOf(find("2.8", machine(env))), "no such server")
  })

  it("TEST_NATS_VERSIONS is a list; without it, any will do", () => {
    assert.deepStrictEqual(wantedVersions({ TEST_NATS_VERSIONS: "2.9, 2.10,latest" }), ["2.9", "2.10", "latest"])
    assert.deepStrictEqual(wantedVersions({ TEST_NATS_VERSIONS: "" }), ["any"])
    assert.deepStrictEqual(wantedVersions({}), ["any"])
  })
})

describe("versions", () => {
  it("are compared number by number, and matched by whole numbers", () => {
    assert.isBelow(compareVersions("2.9.10", "2.10.2"), 0)
    assert.strictEqual(newest([{ version: "2.9.10" }, { version: "2.10.2" }])?.version, "2.10.2")
    assert.isTrue(matches("2.1", "2.1.9"))
    assert.isFalse(matches("2.1", "2.10.2"))
    assert.isTrue(matches("2.10.2", "2.10.2"))
  })
})

describe("apt sources", () => {
  const uris = (mirrors: ReadonlyArray<{ readonly uri: string }>) => mirrors.map((mirror) => mirror.uri)

  it("are read from stanzas, with lists continued over lines and disabled ones left out", () => {
    const text = `# a comment
Types: deb deb-src
URIs: http://one.example/debian
  http://two.example/debian/
Suites: bookworm
Signed-By: /usr/share/keyrings/some.gpg

Types: deb
URIs: http://off.example/debian
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
`
    const mirrors = parseDeb822(text)
    assert.deepStrictEqual(uris(mirrors), ["http://one.example/debian", "http://two.example/debian/"])
    assert.strictEqual(mirrors[1]?.signedBy, "/usr/share/keyrings/some.gpg")
  })

  it("are read from single lines, with and without options", () => {
    const mirrors = parseSourcesList([
      "# deb http://commented.example/debian bookworm main",
      "deb http://one.example/debian bookworm main",
      "deb [arch=amd64 signed-by=/some.gpg] https://two.example/debian sid main",
      "deb-src http://sources.example/debian bookworm main"
    ].join("\n"))
    assert.deepStrictEqual(uris(mirrors), ["http://one.example/debian", "https://two.example/debian"])
    assert.strictEqual(mirrors[1]?.signedBy, "/some.gpg")
  })

  it("count when they are Debian's main archive, each once", async () => {
    const parts = join(world, "apt/sources.list.d")
    await mkdir(parts, { recursive: true })
    await writeFile(join(world, "apt/sources.list"), "deb http://one.example/debian bookworm main\n")
    await writeFile(join(parts, "a.list"), "deb https://vendor.example/apt stable main\n")
    await writeFile(
      join(parts, "b.sources"),
      "Types: deb\nURIs: http://one.example/debian http://x.example/debian-security\n"
    )
    await writeFile(join(parts, "c.sources"), "Types: deb\nURIs: http://snap.example/archive/debian/20250101T000000Z\n")
    await writeFile(join(parts, "d.sources.bak"), "Types: deb\nURIs: http://old.example/debian\n")
    const snapshot = "http://snap.example/archive/debian/20250101T000000Z"
    assert.deepStrictEqual(uris(await debianMirrors(join(world, "apt"))), ["http://one.example/debian", snapshot])
  })
})

describe("withLock", () => {
  it("lets in one at a time, and opens after a failure", async () => {
    const lock = join(world, "lock")
    let inside = 0
    let most = 0
    const enter = (fails: boolean) =>
      withLock(lock, async () => {
        most = Math.max(most, ++inside)
        await sleep(20)
        inside--
        if (fails) throw new Error("on purpose")
      })
    const outcomes = await Promise.allSettled([enter(false), enter(true), enter(false)])
    assert.strictEqual(most, 1)
    assert.lengthOf(outcomes.filter((outcome) => outcome.status === "rejected"), 1)
    assert.isEmpty(await readdir(world))
  })

  it("takes over from an owner who died", async () => {
    const lock = join(world, "lock")
    await mkdir(lock)
    // No process has this number: it is above what any system hands out.
    await writeFile(join(lock, "pid"), "2147483646")
    assert.strictEqual(await withLock(lock, () => Promise.resolve("in")), "in")
  })
})
