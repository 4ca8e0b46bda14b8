import { Code, CRIError } from "@hawser/cri";

/** CRI CheckpointContainer: refused by name. */
export async function checkpointContainer(): Promise<never> {
  throw new CRIError(Code.Unimplemented, "CheckpointContainer is not implemented");
}
