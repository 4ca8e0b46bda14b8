import type { IncomingMessage, ServerResponse } from "node:http";
import type { RuntimeClient } from "@hawser/cri";
import type { PodManager } from "../pods/manager.ts";
import { findPod, findRunning, type PodPath } from "./find-container.ts";
import { HTTPError } from "./http-error.ts";

/** Bytes of a form body. */
const maxBodyBytes = 1024 * 1024;

/** /run: one command, split at its blanks, and its output as text. */
export async function run(
  { pods, runtime }: { pods: Pick<PodManager, "byName">; runtime: Pick<RuntimeClient, "execSync"> },
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  { path, container, query }: { path: PodPath; container: string; query: URLSearchParams },
): Promise<void> {
  const form = new URLSearchParams(await body(request));
  const { id: containerId } = findRunning(findPod(pods, path), container).status;
  const cmd = (form.get("cmd") ?? query.get("cmd") ?? "").split(" ");
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("the client is gone"))); // its command ends with it
  const { stdout, stderr, exitCode } = await runtime.execSync({ containerId, cmd }, { signal: gone.signal });
  const output = Buffer.concat([stdout, stderr]);
  if (exitCode !== 0) throw new HTTPError(500, `command '${cmd.join(" ")}' exited with ${exitCode}: ${output}`);
  response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(output);
}

async function body(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) throw new HTTPError(413, "request body too large");
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString();
}
