import { open, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { createGzip } from "node:zlib";
import { openPlainFile } from "@hawser/files";
import type { KubeletContext } from "../context.ts";
import { containerLogPath, podLogFolder } from "../pods/paths.ts";
import { attemptOf, isRunning } from "../pods/view.ts";
import type { PodWorker } from "../pods/worker.ts";
import { rotatedFiles, unpacked } from "./files.ts";

/** Milliseconds between two looks at the sizes. Source: kubernetes containerLogMonitorInterval */
const period = 10_000;

type Context = Pick<KubeletContext, "settings" | "folders" | "runtime" | "log" | "now">;

/** Rotates the logs of running containers as they reach their size, until `signal` is aborted. */
export async function keepLogsSmall(context: Context, workers: () => PodWorker[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await delay(period, undefined, { signal }).catch(() => undefined);
    for (const worker of signal.aborted ? [] : workers()) {
      for (const [name, [current]] of worker.view.containers) {
        if (!isRunning(current)) continue;
        const logFile = path.join(
          podLogFolder(context.folders, worker.pod),
          containerLogPath(name, attemptOf(current)),
        );
        await rotateIfLarge(context, { logFile, containerId: current.status.id }, signal).catch((error: unknown) => {
          if (!signal.aborted) context.log.warn("log not rotated", { file: logFile, error });
        });
      }
    }
  }
}

/**
 * Rotates one log when it is too large: renames it, has the runtime open a new one, packs all but the newest of the old ones,
 * and removes those that are too many.
 *
 * Source: kubernetes pkg/kubelet/logs/container_log_manager.go
 */
export async function rotateIfLarge(
  { settings, runtime, now }: Pick<KubeletContext, "settings" | "runtime" | "now">,
  { logFile, containerId }: { logFile: string; containerId: string },
  signal: AbortSignal,
): Promise<boolean> {
  const found = await stat(logFile).catch(() => undefined);
  if (!found || found.size < settings.containerLogMaxSize) return false;
  const old = await rotatedFiles(logFile);
  // The current file and the one about to come are among those that may be.
  const surplus = old.length - (settings.containerLogMaxFiles - 2);
  for (const file of old.slice(0, Math.max(0, surplus))) await remove(file);
  for (const file of old.slice(Math.max(0, surplus))) if (!file.endsWith(".gz")) await pack(file, signal);

  const rotated = nameAfter(logFile, { newest: old.at(-1), now: now() });
  await rename(logFile, rotated);
  try {
    await runtime.reopenContainerLog({ containerId }, { signal });
  } catch (error) {
    await rename(rotated, logFile); // it is still the one written to
    throw error;
  }
  return true;
}

/** Names are in the files' order, though the clock may have been set back, and none is given twice. */
function nameAfter(logFile: string, { newest, now }: { newest: string | undefined; now: number }): string {
  for (let at = now; ; at += 1000) {
    const stamp = new Date(at).toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
    const name = `${logFile}.${stamp}`;
    if (!newest || name > unpacked(newest)) return name;
    at = Math.max(at, timeOf(unpacked(newest)));
  }
}

function timeOf(file: string): number {
  const [, year, month, day, hour, minute, second] =
    /(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?:\.\d+)?$/.exec(file) ?? [];
  return Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second)) || 0;
}

/** With what a crash may have left beside it. */
async function remove(file: string): Promise<void> {
  for (const each of new Set([file, unpacked(file), `${unpacked(file)}.gz`, `${unpacked(file)}.tmp`]))
    await rm(each, { force: true });
}

async function pack(file: string, signal: AbortSignal): Promise<void> {
  const partly = `${file}.tmp`;
  await using from = await openPlainFile(file);
  await rm(partly, { force: true }); // a crash may have left it
  await using to = await open(partly, "wx");
  await pipeline(from.createReadStream(), createGzip(), to.createWriteStream(), { signal });
  await rename(partly, `${file}.gz`);
  await rm(file);
}
