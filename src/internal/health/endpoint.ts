/** Health and metrics over HTTP. It is loaded where it is used: most threads have no port. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { createServer } from "node:http"
import type { Report } from "../../Health.ts"
import { invalid, type TransportError } from "../../TransportError.ts"
import { gauges } from "./gauges.ts"
import type { Vitals } from "./vitals.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

/** Answers until the scope ends. */
export const listen = (
  { host, port }: Address,
  report: () => Report,
  vitals: Vitals
): Effect.Effect<void, TransportError, Scope.Scope> => {
  const json = (chosen: (report: Report) => boolean) =>
    Effect.sync(() => {
      const now = report()
      const status = chosen(now) ? 200 : 503
      return HttpServerResponse.text(`${JSON.stringify(now)}\n`, { status, contentType: "application/json" })
    })
  const metrics = Effect.sync(() =>
    HttpServerResponse.text(vitals.metrics + gauges(report()), { contentType: "text/plain; version=0.0.4" })
  )
  const routes = HttpRouter.addAll([
    HttpRouter.route("GET", "/livez", json(({ live }) => live)),
    HttpRouter.route("GET", "/readyz", json(({ ready }) => ready)),
    HttpRouter.route("GET", "/health", json(() => true)),
    HttpRouter.route("GET", "/metrics", metrics)
  ])
  const server = HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: "500 millis" }))
  )
  return Layer.build(server).pipe(
    Effect.asVoid,
    Effect.mapError(({ cause }) =>
      invalid("health", `cannot listen on ${host}:${port}: ${String(cause)}`, "Choose a free port of this machine.")
    )
  )
}
