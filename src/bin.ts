#!/usr/bin/env node
/**
 * The command `sluice`.
 *
 * @since 0.1.0
 */
import { main } from "./bin/main.ts"

main(process.argv.slice(2))
