/**
 * The first line a nats-server says on a new connection.
 */
import { connect } from "node:net"

export interface ServerInfo {
  readonly server_id: string
  readonly server_name: string
  readonly version: string
  readonly port: number
  readonly max_payload: number
  readonly jetstream?: boolean
  readonly tls_required?: boolean
  readonly auth_required?: boolean
  readonly ldm?: boolean
}

/** Opens a connection, reads `INFO {…}` and closes it again. TLS starts after that line, so this works with TLS too. */
export const readInfo = (host: string, port: number, timeoutMillis = 1_000): Promise<ServerInfo> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    let heard = ""
    const fail = (error: Error) => {
      socket.destroy()
      reject(error)
    }
    socket.setTimeout(
      timeoutMillis,
      () => fail(new Error(`${host}:${port} did not say INFO within ${timeoutMillis} ms`))
    )
    socket.once("error", fail)
    socket.once("close", () => fail(new Error(`${host}:${port} closed the connection before INFO`)))
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1")
      const end = heard.indexOf("\r\n")
      if (end < 0) return
      socket.removeAllListeners("close")
      socket.destroy()
      if (!heard.startsWith("INFO ")) return reject(new Error(`${host}:${port} is not a nats-server`))
      resolve(JSON.parse(heard.slice("INFO ".length, end)) as ServerInfo)
    })
  })
