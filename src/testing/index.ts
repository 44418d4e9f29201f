/**
 * For authors of transports: the conformance suite of the seam.
 *
 * @since 0.1.0
 */
export * as TransportTest from "./TransportTest.ts"
