import path from "node:path";
import type { Container } from "@hawser/api";
import { openPlainFile, readHead } from "@hawser/files";
import { parseLogLine } from "../logs/line.ts";
import { tailFile } from "../logs/tail.ts";
import { terminationMessagePath } from "./mounts.ts";
import { containerLogPath } from "./paths.ts";
import { attemptOf, isExited, keptDead, type PodView, type ViewContainer } from "./view.ts";

/** Bytes of a message, and of a log that stands in for one. Source: kubernetes pkg/kubelet/container/runtime.go */
const maxMessageBytes = 4096;
const maxLogBytes = 2048;
const maxLogLines = 80;

/**
 * The messages of a pod's ended containers, by id: of each name's newest start and of those kept beside it. One that is
 * `known` is not read again.
 */
export async function terminationMessages(
  view: PodView,
  {
    containers,
    logFolder,
    known,
  }: { containers: Map<string, Container>; logFolder: string; known: Map<string, string> },
): Promise<Map<string, string>> {
  const messages = new Map<string, string>();
  for (const [name, list] of view.containers) {
    for (const one of list.slice(0, 1 + keptDead).filter((each) => isExited(each))) {
      const { id } = one.status;
      const logFile = path.join(logFolder, containerLogPath(name, attemptOf(one)));
      const read = () => terminationMessage(one, { container: containers.get(name), logFile });
      messages.set(id, known.get(id) ?? (await read()));
    }
  }
  return messages;
}

/** What a container left in its termination message file; by policy, the end of its log when it left nothing and failed. */
export async function terminationMessage(
  { status }: ViewContainer,
  { container, logFile }: { container: Container | undefined; logFile: string },
): Promise<string> {
  const place = container ? terminationMessagePath(container) : "/dev/termination-log";
  const file = status.mounts.find(({ containerPath }) => containerPath === place)?.hostPath;
  const message = file ? await head(file).catch(() => "") : "";
  if (message || container?.terminationMessagePolicy !== "FallbackToLogsOnError" || status.exitCode === 0)
    return message;
  const lines = await tailFile(logFile, maxLogLines).catch(() => []);
  const text = lines.map((line) => parseLogLine(line)?.content.toString() ?? "").join("");
  return text.slice(-maxLogBytes);
}

async function head(file: string): Promise<string> {
  await using handle = await openPlainFile(file); // the container may have made it, in a volume
  return (await readHead(handle, maxMessageBytes)).toString();
}
