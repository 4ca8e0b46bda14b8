import { Socket } from "node:net";
import { closeQuietly } from "../native/libc.ts";
import { receiveNow } from "../native/socket.ts";
import { type ExecExit, whyNotRun } from "./exec-process.ts";
import { OCIError } from "./runtime.ts";

/** What the waiter says at most: a failure's words, and a few bytes; it keeps to 4 KiB. */
const maxSaid = 8 * 1024;

/** The waiter was killed: nobody can tell how the command ended, or whether it ever began. */
export class LostExecError extends OCIError {
  constructor() {
    super("exec", "hawser-exec was killed before it could tell how the command ended");
  }

  /** The command may be running yet: it could not be ended. */
  stillRunning(cause: unknown): this {
    this.message += `; the command could not be ended: ${cause instanceof Error ? cause.message : cause}`;
    this.cause = cause;
    return this;
  }
}

/** Our end of an exec's control socket: the request goes there; that it has begun, a terminal, and how it ended, come back. */
export class ExecControl implements Disposable {
  /** How the command ended. Rejects with OCIError when it could not even be tried, or nobody knows. */
  readonly exited: Promise<ExecExit>;
  /** True when the waiter has the token; false when it has gone before, or never was: then nothing has begun. */
  readonly begun: Promise<boolean>;
  readonly #socket: Socket;
  readonly #terminalSocket: number | undefined;
  readonly #terminal = Promise.withResolvers<number | undefined>();
  #said = Buffer.alloc(0);
  #wanted = true;
  #handedOut = false;

  /**
   * Takes over both descriptors. `onGroupRemoved` is called before `exited` settles, when the waiter removes the exec's group.
   */
  constructor({ control, terminal }: { control: number; terminal?: number }, onGroupRemoved?: () => void) {
    this.#terminalSocket = terminal;
    this.#terminal.promise.catch(() => undefined); // who asks for it has the rejection
    this.#socket = new Socket({ fd: control });
    const { promise, resolve, reject } = Promise.withResolvers<ExecExit>();
    this.exited = promise;
    promise.catch(() => undefined); // the caller has the rejection
    const begun = Promise.withResolvers<boolean>();
    this.begun = begun.promise;
    let [ended, heard] = [false, false];
    const end = () => {
      if (ended) return;
      ended = true;
      begun.resolve(false);
      this.#end();
      if (isWhole(this.#said) && this.#said.at(-2) === code.removed) onGroupRemoved?.();
      try {
        resolve(exitOf(this.#said));
      } catch (error) {
        reject(error);
      }
    };
    this.#socket.on("data", (data: Buffer) => {
      const chunk = !heard && data[0] === code.begun ? data.subarray(1) : data; // without that word it is a refusal
      heard = true;
      begun.resolve(true);
      if (this.#said.length < maxSaid) this.#said = Buffer.concat([this.#said, chunk]);
      if (this.#said[0] === code.terminal) this.#receiveTerminal();
      if (isWhole(this.#said)) end();
    });
    this.#socket.on("error", () => undefined); // the waiter has gone: "close" comes
    this.#socket.once("close", end);
  }

  ask(request: Buffer): void {
    this.#socket.write(request);
  }

  /** The terminal's master, the caller's to close; undefined when the command has ended without one. */
  terminal(): Promise<number | undefined> {
    this.#handedOut = true;
    return this.#terminal.promise;
  }

  /** Without its request a waiter ends; nobody will ask for the terminal, unless somebody has. */
  [Symbol.dispose](): void {
    this.#wanted = false;
    this.#socket.destroy();
    if (!this.#handedOut) this.#terminal.promise.then(closeQuietly, () => undefined);
  }

  #receiveTerminal(): void {
    if (!this.#wanted || this.#terminalSocket === undefined) return;
    this.#wanted = false;
    let last: number | undefined;
    const next = (socket: number) => receiveNow(socket)?.fd;
    try {
      // Into a container at its limit of processes the way is tried twice, and the first terminal is no command's.
      for (let got = next(this.#terminalSocket); got !== undefined; got = next(this.#terminalSocket)) {
        closeQuietly(last);
        last = got;
      }
      this.#terminal.resolve(last);
    } catch (error) {
      closeQuietly(last);
      this.#terminal.reject(error);
    }
  }

  #end(): void {
    this.#socket.destroy();
    this.#terminal.resolve(undefined);
    closeQuietly(this.#terminalSocket);
  }
}

/** What the waiter's messages begin with. */
const code = { begun: 0x42, terminal: 0x54, failure: 0x46, exit: 0x58, removed: 0x52 } as const;

/** Has the waiter said its last word? */
function isWhole(said: Buffer): boolean {
  const last = said.at(-2);
  return (last === code.exit || last === code.removed) && failureEnd(said) === said.length - 2;
}

/** Where the failure's words end: 0 when there are none, beyond the end when they are not whole yet. */
function failureEnd(said: Buffer): number {
  const start = said[0] === code.terminal ? 1 : 0;
  if (said[start] !== code.failure) return start;
  const end = said.indexOf(0, start);
  return end < 0 ? Number.POSITIVE_INFINITY : end + 1;
}

function exitOf(said: Buffer): ExecExit {
  const start = said[0] === code.terminal ? 1 : 0;
  if (said[start] === code.failure) {
    const end = said.indexOf(0, start);
    return whyNotRun(said.toString("utf8", start + 1, end < 0 ? said.length : end));
  }
  const last = said.at(-1);
  if (last === undefined || !isWhole(said)) throw new LostExecError();
  return { code: last };
}
