import { Code, CRIError } from "../errors.ts";
import type { AttachRequest, ExecRequest, PortForwardRequest } from "../gen/cri_pb.ts";

// The texts are those of kubernetes/cri-streaming pkg/streaming/server.go: clients show them.

/** Throws CRIError InvalidArgument. */
export function validateExec(request: ExecRequest): void {
  validateStreams(request, "or");
}

/** Throws CRIError InvalidArgument. */
export function validateAttach(request: AttachRequest): void {
  validateStreams(request, "and");
}

/** Throws CRIError InvalidArgument. */
export function validatePortForward({ podSandboxId }: PortForwardRequest): void {
  if (podSandboxId === "") throw invalid("missing required pod_sandbox_id");
}

function validateStreams(
  { containerId, tty, stdin, stdout, stderr }: ExecRequest | AttachRequest,
  conjunction: string,
) {
  if (containerId === "") throw invalid("missing required container_id");
  // A terminal has one output: there is nothing to tell the two apart by.
  if (tty && stderr) throw invalid("tty and stderr cannot both be true");
  if (!stdin && !stdout && !stderr) throw invalid(`one of stdin, stdout, ${conjunction} stderr must be set`);
}

function invalid(message: string): CRIError {
  return new CRIError(Code.InvalidArgument, message);
}
