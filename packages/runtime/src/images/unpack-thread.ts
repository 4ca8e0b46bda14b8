// A thread that unpacks layers: gunzip, digest, tar headers. What it makes for V8 to collect is collected beside the
// event loop, in a heap of a few MB instead of the daemon's; and a layer that would fill the heap fills this one.
import { open } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import { type DiskUsage, diskUsage } from "./disk-usage.ts";
import { streamLayer } from "./layer.ts";

/** How much of a blob is read at a time, bytes. */
const readBytes = 256 * 1024;

/** To the thread. Jobs have numbers of their sender's. */
export type Order =
  | { what: "start"; job: number; path: string; directory: string }
  /** So much of the blob may be read; is it all? */
  | { what: "grown"; job: number; size: number; whole: boolean }
  | { what: "finish"; job: number; lowers: readonly string[] }
  | { what: "abort"; job: number };

/** From the thread. "finished" and "failed" are the last word about a job. */
export type Report =
  | { what: "streamed"; job: number; diffID: string }
  | { what: "finished"; job: number; usage: DiskUsage }
  | { what: "failed"; job: number; message: string; code?: string | undefined };

class Job {
  readonly #abort = new AbortController();
  readonly #lowers = Promise.withResolvers<readonly string[]>();
  #growth = Promise.withResolvers<void>();
  #size = 0;
  #whole = false;

  grown(size: number, whole: boolean): void {
    [this.#size, this.#whole] = [size, whole];
    this.#growth.resolve();
    this.#growth = Promise.withResolvers();
  }

  finish(lowers: readonly string[]): void {
    this.#lowers.resolve(lowers);
  }

  abort(): void {
    const reason = new Error("the unpacking was aborted");
    this.#abort.abort(reason);
    this.#lowers.reject(reason);
    this.#growth.resolve();
  }

  async run(path: string, directory: string, onStreamed: (diffID: string) => void): Promise<DiskUsage> {
    const { signal } = this.#abort;
    this.#lowers.promise.catch(() => undefined); // whoever waits for it hears of it
    const { diffID, finish } = await streamLayer({ source: this.#read(path), directory, signal });
    onStreamed(diffID);
    await finish(await this.#lowers.promise);
    return await diskUsage(directory, signal);
  }

  async *#read(path: string): AsyncGenerator<Uint8Array> {
    const { signal } = this.#abort;
    await using file = await open(path, "r");
    for (let at = 0; ; ) {
      const growth = this.#growth.promise;
      signal.throwIfAborted();
      const length = Math.min(readBytes, this.#size - at);
      if (length <= 0) {
        if (this.#whole) return;
        await growth;
        continue;
      }
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, at);
      if (bytesRead === 0) throw new Error("the blob has become shorter");
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}

const port = parentPort;
if (port) {
  const jobs = new Map<number, Job>();
  const say = (report: Report) => port.postMessage(report);
  const start = async (id: number, path: string, directory: string) => {
    const job = new Job();
    jobs.set(id, job);
    try {
      const usage = await job.run(path, directory, (diffID) => say({ what: "streamed", job: id, diffID }));
      say({ what: "finished", job: id, usage });
    } catch (error) {
      say({ what: "failed", job: id, ...describe(error) });
    } finally {
      jobs.delete(id);
    }
  };
  port.on("message", (order: Order) => {
    const job = jobs.get(order.job); // an order may come late, for one that has failed
    if (order.what === "start") void start(order.job, order.path, order.directory);
    else if (order.what === "grown") job?.grown(order.size, order.whole);
    else if (order.what === "finish") job?.finish(order.lowers);
    else job?.abort();
  });
}

function describe(error: unknown): { message: string; code?: string | undefined } {
  if (!(error instanceof Error)) return { message: String(error) };
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return { message: error.message, code };
}
