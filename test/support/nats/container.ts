/**
 * A nats-server in a container, for machines that have Docker and nothing else.
 *
 * The port is published to a fixed port of the host, so that a client finds the server again after a restart.
 * Containers that a dead test process leaves behind are removed by testcontainers' own reaper.
 */
import type { StartedTestContainer } from "testcontainers"
import { configFile } from "./machine.ts"
import type { Machine } from "./machine.ts"

const home = "/sluice"
const innerPort = 4222

type Files = Readonly<Record<string, string>>

/** Loaded when it is needed and not before: it is large, and most machines find a binary. */
const load = () => import("testcontainers")

/** Whether there is a container runtime to talk to. */
export const dockerAnswers = (): Promise<boolean> =>
  load().then(({ getContainerRuntimeClient }) => getContainerRuntimeClient()).then(() => true, () => false)

const contentOf = (files: Files) =>
  Object.entries(files).map(([name, content]) => ({ content, target: `${home}/${name}` }))

const create = async (image: string, port: number, files: Files): Promise<StartedTestContainer> => {
  const { GenericContainer, Wait } = await load()
  return new GenericContainer(image)
    .withExposedPorts({ container: innerPort, host: port })
    .withCopyContentToContainer(contentOf(files))
    .withWorkingDir(home)
    .withCommand(["-c", `${home}/${configFile}`])
    // Any first line of the log will do: readiness is asked on the socket, and the image has no shell to probe ports
    // with.
    .withWaitStrategy(Wait.forLogMessage(/./))
    .withStartupTimeout(60_000)
    .start()
}

/** The container as the Docker API knows it, for the verbs that the library leaves out. */
const rawOf = async (container: StartedTestContainer) => {
  const { getContainerRuntimeClient } = await load()
  return (await getContainerRuntimeClient()).container.getById(container.getId())
}

const stateOf = async (container: StartedTestContainer) => (await (await rawOf(container)).inspect()).State

/** Signals do not reach a paused container. */
const wake = async (container: StartedTestContainer): Promise<void> => {
  if ((await stateOf(container)).Paused) await (await rawOf(container)).unpause()
}

const logsOf = async (container: StartedTestContainer): Promise<string> =>
  (await (await rawOf(container)).logs({ stdout: true, stderr: true, follow: false })).toString("utf8")

const startAgain = async (container: StartedTestContainer): Promise<StartedTestContainer> => {
  await (await rawOf(container)).start()
  return container
}

export const makeContainer = (image: string): Machine => {
  let container: StartedTestContainer | undefined
  let initial: Files = {}
  return {
    host: "127.0.0.1",
    listen: () => `0.0.0.0:${innerPort}`,
    storeDir: `${home}/store`,
    write: async (files) => {
      if (container === undefined) initial = { ...initial, ...files }
      else await container.copyContentToContainer(contentOf(files))
    },
    boot: async (port) => {
      container = container === undefined ? await create(image, port, initial) : await startAgain(container)
    },
    signal: async (name) => {
      if (container === undefined || !(await stateOf(container)).Running) return
      await wake(container)
      const raw = await rawOf(container)
      await raw.kill({ signal: name })
      if (name === "SIGKILL" || name === "SIGTERM") await raw.wait()
    },
    pause: async () => container && (await rawOf(container)).pause(),
    resume: async () => container && wake(container),
    isRunning: async () => container !== undefined && (await stateOf(container)).Running,
    logs: async () => container === undefined ? "" : logsOf(container),
    dispose: async () => {
      const ending = container
      container = undefined
      if (ending === undefined) return
      await wake(ending)
      await ending.stop({ remove: true, removeVolumes: true, timeout: 2_000 })
    }
  }
}
