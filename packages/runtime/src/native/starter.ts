import type { Socket } from "node:net";
import { limiter } from "../limiter.ts";
import { orAborted } from "../or-aborted.ts";
import { closeQuietly, systemError } from "./libc.ts";
import { openPipe, readable } from "./pipe.ts";
import { favour } from "./priority.ts";
import type { Reaper } from "./reaper.ts";
import { openSocketPair, sendDescriptors } from "./socket.ts";
import { type Child, killQuietly, spawn } from "./spawn.ts";
import { encodeStart, NotAskedError, type Started, type StartRequest } from "./starter-request.ts";
import { workingOn } from "./worker.ts";

/** Programs that are being started at once; the others wait for these. */
const maxStarting = 16;
/** An answer: a pid, an errno, and the name of the call that failed. */
const answerBytes = 24;
/** How long it may take to say its first word, and to end when its socket is closed, milliseconds. */
const patience = 5000;
/** How long its last answers may take to be read once it has ended, milliseconds. */
const lastWords = 1000;
/** How long it may be without an answer while one is waited for, milliseconds: then it is killed, and somebody else's turn. */
const answerPatience = 60_000;

/**
 * A process that starts programs for this one, by vfork: they are our own children, but it is not the event loop that stands
 * still until each has a processor and has become its program, which takes 0.2 ms on a quiet machine and 20 on a busy one.
 */
export interface Starter extends AsyncDisposable {
  /**
   * Resolves with the child's pid once it is its program. Throws the system's error when it cannot be; NotAskedError when the
   * starter has ended, or does not take it; and an Error when it has ended meanwhile: whether it was started is not known then.
   * Throws the signal's reason: what is started all the same is killed.
   */
  start(command: Started, signal?: AbortSignal): Promise<number>;
  /** Resolves when the starter has ended. */
  ended: Promise<unknown>;
}

/** Whose answer has not come yet. */
interface Waiting {
  resolve(pid: number): void;
  reject(error: Error): void;
  path: string;
  /** Of who waits for its first word alone. */
  greet?(name: string): void;
  expected?: Disposable;
}

/**
 * Starts the starter, which has `mark` in its environment, and nobody else has. Throws, in words for people, when it does not
 * run here or is of another version.
 */
export async function startStarter(
  { reaper, greeting, mark }: { reaper: Reaper; greeting: string; mark: string },
  program: string,
): Promise<Starter> {
  const requests = openSocketPair("seqpacket");
  const answers = openPipe();
  let child: Child;
  try {
    const stdio = [-1, -1, -1, requests.theirs, answers.write];
    child = spawn({ reaper }, { path: program, name: "hawser-exec", args: ["start"], stdio, env: workingOn(mark) });
  } catch (error) {
    closeQuietly(requests.ours, answers.read);
    throw error;
  } finally {
    closeQuietly(requests.theirs, answers.write);
  }
  favour(child.pid);
  return await new RunningStarter({ reaper, child, socket: requests.ours, answers: answers.read }).greeted(greeting);
}

class RunningStarter implements Starter {
  readonly ended: Promise<unknown>;
  readonly #reaper: Reaper;
  readonly #child: Child;
  readonly #answers: Socket;
  readonly #limit = limiter(maxStarting);
  /** In the order of their answers. */
  readonly #waiting: Waiting[] = [];
  #socket: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #rest: Buffer = Buffer.alloc(0);

  constructor({ reaper, child, socket, answers }: { reaper: Reaper; child: Child; socket: number; answers: number }) {
    this.#reaper = reaper;
    this.#child = child;
    this.#socket = socket;
    this.#answers = readable(answers).unref();
    this.#answers.on("data", (bytes: Buffer) => this.#take(bytes));
    this.#answers.on("error", () => undefined); // "close" follows
    const closed = new Promise<void>((resolve) => this.#answers.on("close", resolve));
    // Its last answers are read before the end: by then nobody writes there any more.
    this.ended = Promise.all([closed, child.exited]).then(() => this.#end());
    void child.exited.then(() => {
      clearTimeout(this.#timer); // the number may be another process' from now on
      setTimeout(() => this.#answers.destroy(), lastWords).unref();
    });
  }

  async greeted(expected: string): Promise<this> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Its first answer has its name in the call's place.
    const greet = (name: string) => {
      if (name === expected) resolve();
      else reject(new Error("it is of another version: make build"));
    };
    this.#wait({ resolve: reject, reject: () => reject(new Error("it ended without a word")), greet, path: "" });
    const timer = setTimeout(() => reject(new Error("it says nothing")), patience);
    try {
      await promise;
      return this;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async start(command: Started, signal?: AbortSignal): Promise<number> {
    const request = encodeStart(command);
    const started = this.#limit(async () => {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      await this.#send(request, { resolve, reject, path: command.path }, signal);
      return await promise;
    });
    if (!signal) return await started;
    try {
      return await orAborted(started, signal);
    } catch (error) {
      const end = (pid: number) => {
        killQuietly(pid, "SIGKILL"); // first: as long as nobody reaps it, the number is its own
        void this.#reaper.watch(pid);
      };
      started.then(end, () => undefined);
      throw error;
    }
  }

  /** Whoever aborts takes the descriptors away, so nothing is sent from then on. */
  async #send({ packet, descriptors }: StartRequest, waiting: Waiting, signal: AbortSignal | undefined): Promise<void> {
    const deadline = performance.now() + patience;
    for (;;) {
      signal?.throwIfAborted();
      const done = this.#socket === undefined ? "gone" : sent(this.#socket, descriptors, packet);
      if (done === "sent") return this.#wait(waiting);
      if (done !== "full" || performance.now() >= deadline) throw new NotAskedError(`to start ${waiting.path}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #wait(waiting: Waiting) {
    waiting.expected = this.#reaper.expect();
    if (this.#waiting.push(waiting) > 1) return;
    this.#answers.ref();
    this.#timer = setTimeout(() => this.#giveUp(), answerPatience);
  }

  #take(bytes: Buffer) {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (; rest.length >= answerBytes; rest = rest.subarray(answerBytes)) {
      const waiting = this.#waiting.shift();
      const [pid, error] = [rest.readInt32LE(0), rest.readInt32LE(4)];
      const call = rest.toString("latin1", 8, answerBytes).replace(/\0.*/s, "");
      waiting?.expected?.[Symbol.dispose](); // whoever waits does so before anybody looks for orphans again
      if (error === 0 && pid > 0) waiting?.resolve(pid);
      else if (error === 0) waiting?.greet?.(call);
      else {
        if (pid > 0) void this.#reaper.watch(pid); // it has ended, and is to be reaped
        waiting?.reject(systemError(error, call, waiting.path));
      }
    }
    this.#rest = rest;
    this.#timer?.refresh();
    if (this.#waiting.length > 0) return;
    this.#answers.unref();
    clearTimeout(this.#timer);
  }

  /** One program has stood still on its way for so long, and all behind it with it. */
  #giveUp() {
    const [slow] = this.#waiting;
    slow?.reject(new Error(`${slow.path}: not started within ${answerPatience / 1000} s`));
    killQuietly(this.#child.pid, "SIGKILL");
  }

  #end() {
    clearTimeout(this.#timer);
    closeQuietly(this.#socket);
    this.#socket = undefined;
    for (const { reject, path, expected } of this.#waiting.splice(0)) {
      expected?.[Symbol.dispose]();
      reject(hasEnded(path));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeQuietly(this.#socket); // at which it ends
    this.#socket = undefined;
    const timer = setTimeout(() => killQuietly(this.#child.pid, "SIGKILL"), patience);
    await this.#child.exited;
    clearTimeout(timer);
    await this.ended;
  }
}

/** As sendDescriptors(), and "gone" for what the socket does not take, such as a packet that is too large for it. */
function sent(socket: number, descriptors: readonly number[], packet: Buffer): ReturnType<typeof sendDescriptors> {
  try {
    return sendDescriptors(socket, descriptors, packet);
  } catch {
    return "gone";
  }
}

function hasEnded(path: string): Error {
  return new Error(`hawser-exec has ended before it said whether it had started ${path}`);
}
