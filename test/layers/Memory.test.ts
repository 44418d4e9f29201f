import { it } from "@effect/vitest"
it("x", () => {})
