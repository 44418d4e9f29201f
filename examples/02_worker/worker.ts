/**
 * A program of its own: `npm run sluice -- run examples/02_worker/worker.ts`.
 *
 * Give it something to do: `npm run sluice -- pub --topic examples/02_worker/shop.ts#Orders --help`.
 */
import * as Worker from "effect-sluice/Worker"
import { billing, streams } from "./shop.ts"

export default Worker.make({ name: "shop", readers: [billing], topology: streams })
