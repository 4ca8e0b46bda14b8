import type { Status } from "./status.ts";

/** The Status at the end of a remote command: success, or the exit code of the process (0 to 255). */
export function exitStatus(code: number): Status {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

/**
 * The exit code a Status carries; undefined when it is a failure of another kind
 * or its code is not a number from 0 to 255.
 *
 * Source: kubernetes/client-go tools/remotecommand/v4.go
 */
export function exitCode(status: Status): number | undefined {
  if (status.status === "Success") return 0;
  if (status.reason !== "NonZeroExitCode") return undefined;
  const text = status.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
  if (!text || !/^\d{1,3}$/.test(text)) return undefined;
  const code = Number(text);
  return code <= 255 ? code : undefined;
}
