import type { RemoteCommandStreams } from "@hawser/streaming";
import { HTTPError } from "./http-error.ts";

/**
 * Which streams a request to /exec or /attach asks for. A terminal has no stderr of its own.
 *
 * Throws HTTPError 400 when it asks for none.
 * Source: kubernetes/cri-streaming pkg/streaming/remotecommand/httpstream.go NewOptions
 */
export function findContainerStreams(query: URLSearchParams): RemoteCommandStreams {
  const tty = flag(query, "tty");
  const stdin = flag(query, "input");
  const stdout = flag(query, "output");
  const stderr = flag(query, "error") && !tty;
  if (!stdin && !stdout && !stderr) throw new HTTPError(400, "you must specify at least 1 of stdin, stdout, stderr");
  return { stdin, stdout, stderr, tty };
}

/** `1`, as kubelets are told; `true` is understood too. */
function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value === "1" || value === "true";
}
