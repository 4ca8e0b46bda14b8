import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { limiter } from "../limiter.ts";
import { trimMemory } from "../native/memory.ts";
import { orAborted } from "../or-aborted.ts";
import type { Arrival } from "./arrival.ts";
import type { DiskUsage } from "./disk-usage.ts";
import { LayerError } from "./layer-paths.ts";
import type { Order, Report } from "./unpack-thread.ts";

/** Most threads, where there are as many processors. Layers that come while all are busy share one. */
const maxThreads = 4;
/** What the names and links of the layers of one thread may take, MB: its heap. */
const defaultHeap = 1024;
/** How long a thread without work is kept for more, milliseconds. */
const idleFor = 5000;
/** How much more of a blob is worth a message, bytes. */
const worthTelling = 256 * 1024;

/** The thread's program: beside this file, or beside the bundle that this file is in. */
const program = import.meta.filename.endsWith(".ts")
  ? join(import.meta.dirname, "unpack-thread.ts")
  : join(import.meta.dirname, "unpack.cjs");

/** A layer whose content is on disk. To be finished or disposed: until then it takes a place in a thread. */
export interface Unpacked extends AsyncDisposable {
  diffID: string;
  /** Gives directories of the layers below their owners, makes the marks, and counts. `lowers` are the roots, topmost first. */
  finish(lowers: readonly string[]): Promise<DiskUsage>;
}

/** The thread has ended before the layer was finished, which may be another's fault that was in it too. */
export class ThreadLostError extends LayerError {}

interface UnpackOptions {
  blob: Arrival;
  /** Existing and empty. */
  directory: string;
  signal: AbortSignal;
}

/** A thread that nobody else has, until disposed. */
export interface OwnThread extends AsyncDisposable {
  unpack(options: UnpackOptions): Promise<Unpacked>;
}

interface Job {
  streamed: PromiseWithResolvers<string>;
  finished: PromiseWithResolvers<DiskUsage>;
}

/** Unpacks layers in threads of its own, which come with the first and go some seconds after the last. */
export class Unpackers implements AsyncDisposable {
  readonly #threads = new Set<Thread>();
  readonly #most = Math.min(maxThreads, availableParallelism());
  readonly #heap: number;
  readonly #aloneTurn = limiter(1);
  #alone: Thread | undefined;

  /** `maxHeap` is that of one thread, MB. */
  constructor({ maxHeap = defaultHeap } = {}) {
    this.#heap = maxHeap;
  }

  /**
   * Extracts a layer (see streamLayer) from a blob, as it arrives, into an existing empty directory.
   * Throws LayerError in the words of whatever went wrong, or the signal's reason. Nobody writes into the directory then any
   * more, unless the thread itself was lost (ThreadLostError): its tar ends by itself, in a moment (see removeDirectory).
   */
  async unpack(options: UnpackOptions): Promise<Unpacked> {
    options.signal.throwIfAborted();
    return await this.#thread().unpack(options);
  }

  /**
   * A thread for one layer, for what may not have been its own fault. One at a time: let it wait for nobody. Throws the signal's
   * reason.
   */
  async alone(signal: AbortSignal): Promise<OwnThread> {
    const given = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const turn = this.#aloneTurn(() => {
      given.resolve();
      return over.promise;
    });
    try {
      await orAborted(given.promise, signal);
    } catch (error) {
      over.resolve();
      throw error;
    }
    const thread = new Thread(this.#heap, () => undefined);
    this.#alone = thread;
    return {
      unpack: (options) => thread.unpack(options),
      [Symbol.asyncDispose]: async () => {
        await thread.end();
        over.resolve();
        await turn;
      },
    };
  }

  /** Ends the threads. What they were doing fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#threads, this.#alone].map((thread) => thread?.end()));
  }

  #thread(): Thread {
    const [idlest] = [...this.#threads].sort((a, b) => a.busy - b.busy);
    if (idlest && (idlest.busy === 0 || this.#threads.size >= this.#most)) return idlest;
    const thread = new Thread(this.#heap, () => this.#threads.delete(thread));
    this.#threads.add(thread);
    return thread;
  }
}

class Thread {
  readonly #worker: Worker;
  readonly #jobs = new Map<number, Job>();
  readonly #onEnd: () => void;
  #nextJob = 1;
  #idle: NodeJS.Timeout | undefined;

  constructor(maxHeap: number, onEnd: () => void) {
    this.#onEnd = onEnd;
    this.#worker = new Worker(program, { execArgv: [], resourceLimits: { maxOldGenerationSizeMb: maxHeap } });
    this.#worker.unref();
    this.#worker.on("message", (report: Report) => this.#heard(report));
    this.#worker.on("error", (cause: Error) => this.#lost(`the unpacking thread failed: ${cause.message}`, cause));
    this.#worker.on("exit", () => {
      this.#lost("the unpacking thread has ended");
      trimMemory();
    });
  }

  get busy(): number {
    return this.#jobs.size;
  }

  async unpack({ blob, directory, signal }: UnpackOptions): Promise<Unpacked> {
    const id = this.#nextJob++;
    const job: Job = { streamed: Promise.withResolvers(), finished: Promise.withResolvers() };
    job.finished.promise.catch(() => undefined); // an earlier failure tells as much
    this.#take(id, job);
    const abort = () => this.#order({ what: "abort", job: id });
    this.#order({ what: "start", job: id, path: blob.path, directory });
    try {
      using _told = this.#follow(id, blob, abort);
      signal.addEventListener("abort", abort, { once: true });
      const diffID = await job.streamed.promise;
      return {
        diffID,
        finish: async (lowers) => {
          this.#order({ what: "finish", job: id, lowers });
          return await job.finished.promise.catch((error: unknown) => {
            signal.throwIfAborted();
            throw error;
          });
        },
        [Symbol.asyncDispose]: async () => {
          signal.removeEventListener("abort", abort);
          abort();
          await Promise.allSettled([job.finished.promise]);
        },
      };
    } catch (error) {
      signal.removeEventListener("abort", abort);
      signal.throwIfAborted();
      throw error;
    }
  }

  async end(): Promise<void> {
    clearTimeout(this.#idle);
    this.#onEnd();
    await this.#worker.terminate();
  }

  /** Tells the thread how much of the blob it may read. */
  #follow(id: number, blob: Arrival, abort: () => void): Disposable {
    let told = -1;
    const tell = () => {
      if (blob.broken) abort();
      else if (blob.whole || blob.size - told >= worthTelling) {
        told = blob.size;
        this.#order({ what: "grown", job: id, size: blob.size, whole: blob.whole });
      }
    };
    tell();
    return blob.watch(tell);
  }

  #order(order: Order): void {
    if (this.#jobs.has(order.job)) this.#worker.postMessage(order);
  }

  #take(id: number, job: Job): void {
    clearTimeout(this.#idle);
    this.#worker.ref();
    this.#jobs.set(id, job);
  }

  #heard(report: Report): void {
    const job = this.#jobs.get(report.job);
    if (!job) return;
    if (report.what === "streamed") {
      job.streamed.resolve(report.diffID);
      return;
    }
    if (report.what === "finished") job.finished.resolve(report.usage);
    else fail(job, Object.assign(new LayerError(report.message), { code: report.code }));
    this.#jobs.delete(report.job);
    if (this.#jobs.size > 0) return;
    this.#worker.unref();
    this.#idle = setTimeout(() => void this.end(), idleFor).unref();
  }

  #lost(message: string, cause?: Error): void {
    clearTimeout(this.#idle);
    this.#onEnd();
    for (const job of this.#jobs.values()) fail(job, new ThreadLostError(message, { cause }));
    this.#jobs.clear();
  }
}

function fail(job: Job, error: Error): void {
  job.streamed.reject(error);
  job.finished.reject(error);
}
