import type { CRIConnection } from "@hawser/cri";
import type { NodeIO } from "./io.ts";

/** What a verb runs with, once its command line is understood and the runtime answers. */
export interface VerbContext {
  io: NodeIO;
  cri: CRIConnection;
  endpoint: string;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** A verb's command line, understood. */
export interface Line {
  values: { help?: boolean | undefined; "runtime-endpoint"?: string | undefined; "data-dir"?: string | undefined };
  /** Throws CRIError and Error; rejects with the signal's reason. */
  run(context: VerbContext): Promise<void>;
}

/** Reads what follows a verb. Throws MisuseError. */
export type Verb = (argv: string[]) => Line;
