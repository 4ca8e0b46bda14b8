import type { ServerResponse } from "node:http";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type ContainerStatus, type PodLogOptions, type PodStatus, parsePodLogOptions, StatusError } from "@hawser/api";
import { type LogLine, shownTime } from "../logs/line.ts";
import { readLog } from "../logs/read.ts";
import type { PodManager } from "../pods/manager.ts";
import { containerLogPath, type Folders, podLogFolder } from "../pods/paths.ts";
import { podContainers } from "../pods/pod.ts";
import { attemptOf, isRunning } from "../pods/view.ts";
import type { PodPath } from "./find-container.ts";
import { HTTPError } from "./http-error.ts";

/** /containerLogs: a container's log, whole or its end, and on request what still comes. */
export async function containerLogs(
  { pods, folders }: { pods: Pick<PodManager, "byName">; folders: Folders },
  response: ServerResponse,
  { path: { namespace, pod, uid }, container, query }: { path: PodPath; container: string; query: URLSearchParams },
): Promise<void> {
  const options = logOptions(query);
  const worker = pods.byName(namespace, pod);
  if (!worker || worker.ended || (uid && worker.pod.metadata.uid !== uid))
    throw new HTTPError(404, `pod "${pod}" does not exist`);
  if (!podContainers(worker.pod).some((one) => one.container.name === container)) {
    throw new HTTPError(404, `container "${container}" not found in pod "${pod}"`);
  }
  const id = containerToRead(pod, worker.status ?? {}, { container, previous: options.previous });
  const find = () => worker.view.containers.get(container)?.find(({ status }) => status.id === id);
  const found = find();
  if (!found) throw new HTTPError(400, `container "${container}" in pod "${pod}" is terminated`);

  const logFile = path.join(podLogFolder(folders, worker.pod), containerLogPath(container, attemptOf(found)));
  const stop = new AbortController();
  response.once("close", () => stop.abort());
  const since =
    options.sinceSeconds === undefined
      ? options.sinceTime && Date.parse(options.sinceTime)
      : Date.now() - options.sinceSeconds * 1000;
  const lines = readLog({
    logFile,
    tailLines: options.tailLines,
    ...(since && { since }),
    ...(options.follow && { follow: () => !worker.ended && isRunning(find()) }),
    signal: stop.signal,
  });
  response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
  response.flushHeaders();
  await pipeline(Readable.from(output(lines, options), { objectMode: true, highWaterMark: 1 }), response).catch(
    (error: unknown) => {
      if (!stop.signal.aborted) throw error; // a client that leaves is no failure
    },
  );
}

function logOptions(query: URLSearchParams): PodLogOptions {
  let options: PodLogOptions;
  try {
    options = parsePodLogOptions(query);
  } catch (cause) {
    throw new HTTPError(400, cause instanceof StatusError ? cause.message : "Invalid request.", { cause });
  }
  const { tailLines = 0, limitBytes = 1, sinceSeconds = 1, sinceTime } = options;
  if (tailLines < 0 || limitBytes < 1 || sinceSeconds < 1)
    throw new HTTPError(400, "tailLines, limitBytes and sinceSeconds must be greater than 0");
  if (sinceTime && Number.isNaN(Date.parse(sinceTime)))
    throw new HTTPError(400, `sinceTime ${JSON.stringify(sinceTime)} is no RFC 3339 time`);
  return options;
}

/**
 * Which container's log is meant. Throws HTTPError 400 when there is none, in words that kubectl's users know.
 *
 * Source: kubernetes pkg/kubelet/kubelet_pods.go validateContainerLogStatus
 */
export function containerToRead(
  pod: string,
  status: PodStatus,
  { container, previous }: { container: string; previous: boolean },
): string {
  const lists = [status.initContainerStatuses, status.containerStatuses, status.ephemeralContainerStatuses];
  const found = lists.flatMap((list) => list ?? []).find(({ name }) => name === container);
  const text = `container "${container}" in pod "${pod}"`;
  if (!found) throw new HTTPError(400, `${text} is not available`);
  const last = bareId(found.lastState?.terminated?.containerID);
  if (previous) {
    if (!last) throw new HTTPError(400, `previous terminated ${text} not found`);
    return last;
  }
  const { running, terminated, waiting } = found.state ?? {};
  const current = running ? bareId(found.containerID) : terminated ? (bareId(terminated.containerID) ?? last) : last;
  if (current) return current;
  if (terminated || found.lastState?.terminated) throw new HTTPError(400, `${text} is terminated`);
  throw new HTTPError(400, `${text} is waiting to start${waitingText(waiting)}`);
}

function waitingText(waiting: NonNullable<ContainerStatus["state"]>["waiting"]): string {
  switch (waiting?.reason) {
    case undefined:
      return " - no logs yet";
    case "ErrImagePull":
      return ": image can't be pulled";
    case "ImagePullBackOff":
      return ": trying and failing to pull image";
    default:
      return `: ${waiting?.reason}`;
  }
}

/** `containerd://abc` is `abc` to the runtime. */
function bareId(containerID: string | undefined): string | undefined {
  return containerID?.replace(/^[a-z0-9.-]+:\/\//, "") || undefined;
}

/** The bytes to send: contents, with the time before each line if asked, cut at the limit. */
async function* output(batches: AsyncIterable<LogLine[]>, options: PodLogOptions): AsyncGenerator<Buffer> {
  const { timestamps, limitBytes = Number.POSITIVE_INFINITY, stream } = options;
  const wanted = stream && stream !== "All" ? stream.toLowerCase() : undefined;
  const midLine = { stdout: false, stderr: false };
  let left = limitBytes;
  for await (const batch of batches) {
    const parts: Buffer[] = [];
    for (const line of batch) {
      if (wanted && line.stream !== wanted) continue;
      if (timestamps && !midLine[line.stream]) parts.push(Buffer.from(`${shownTime(line.time)} `));
      parts.push(line.content);
      midLine[line.stream] = line.content.at(-1) !== 0x0a;
    }
    if (parts.length === 0) continue;
    const bytes = Buffer.concat(parts);
    yield bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= bytes.length;
    if (left <= 0) return;
  }
}
