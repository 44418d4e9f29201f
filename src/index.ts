/**
 * Everything but the brokers.
 *
 * A layer is imported by its own path, `effect-sluice/layers/Nats` or `effect-sluice/layers/Memory`: it brings its
 * vendor's code along, and a program that publishes through an injected `Transport` should not have to load it. Single
 * modules have paths of their own as well, `effect-sluice/Reader` and so on, and load faster than all together.
 *
 * @since 0.1.0
 */
export * as AckPolicy from "./AckPolicy.ts"
export * as Codec from "./Codec.ts"
export * as DeadLetter from "./DeadLetter.ts"
export * as Headers from "./Headers.ts"
export * as Health from "./Health.ts"
export * as Lanes from "./Lanes.ts"
export * as Message from "./Message.ts"
export * as Metrics from "./Metrics.ts"
export * as Outcome from "./Outcome.ts"
export * as Provenance from "./Provenance.ts"
export * as Provisioner from "./Provisioner.ts"
export * as Publisher from "./Publisher.ts"
export * as Queue from "./Queue.ts"
export * as Reader from "./Reader.ts"
export * as Settlement from "./Settlement.ts"
export * as Spill from "./Spill.ts"
export * as Subject from "./Subject.ts"
export * as Topic from "./Topic.ts"
export * as Topology from "./Topology.ts"
export * as Tracing from "./Tracing.ts"
export * as Transport from "./Transport.ts"
export * as TransportError from "./TransportError.ts"
export * as Worker from "./Worker.ts"
