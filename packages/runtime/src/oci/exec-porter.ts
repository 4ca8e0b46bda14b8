import { closeQuietly } from "../native/libc.ts";
import type { Reaper } from "../native/reaper.ts";
import { openSocketPair, receiveNow, sendDescriptors } from "../native/socket.ts";
import { type Child, killQuietly, spawn } from "../native/spawn.ts";
import { protocol } from "./exec-request.ts";

/** How often the porter's socket is looked at, milliseconds: for its first word, and for room. */
const lookInterval = 1;
/** How long it may take to say its first word, and to make room, milliseconds. */
const patience = 5000;
/** How long it may take to end when its socket is closed, milliseconds; one that is stopped, by SIGSTOP, never would. */
const endPatience = 1000;

/** A running hawser-exec, which forks a process for each exec. */
export interface Porter extends AsyncDisposable {
  /**
   * Has a process forked with copies of these descriptors: stdin, stdout, stderr, control, token and, for a terminal, one more
   * socket. False when the porter is gone, takes nothing for 5 s, or has not taken them when `signal` fires.
   */
  enter(descriptors: readonly number[], signal: AbortSignal): Promise<boolean>;
}

/** Starts hawser-exec. Throws, in words for people, when it does not run here or is of another version. */
export async function startPorter({ reaper }: { reaper: Reaper }, program: string): Promise<Porter> {
  const { ours, theirs } = openSocketPair("seqpacket");
  let child: Child | undefined;
  try {
    child = start(reaper, program, theirs);
    await greeting(ours);
  } catch (error) {
    closeQuietly(ours);
    if (child) await end(child);
    throw error;
  }
  const started = child;
  let socket: number | undefined = ours;
  return {
    async enter(descriptors, signal) {
      const deadline = performance.now() + patience;
      let last = false; // whatever kept this process from looking, it looks once more when the time is over
      while (socket !== undefined && !signal.aborted) {
        const done = sendDescriptors(socket, descriptors);
        if (done !== "full" || last) return done === "sent";
        await pause();
        last = performance.now() >= deadline;
      }
      return false;
    },
    async [Symbol.asyncDispose]() {
      closeQuietly(socket); // at which it ends; execs that run go on
      socket = undefined;
      await end(started);
    },
  };
}

/** Resolves when it has ended: by itself, since its socket is closed, or killed for taking too long. */
async function end({ pid, exited }: Child): Promise<void> {
  const timer = setTimeout(() => killQuietly(pid, "SIGKILL"), endPatience);
  await exited;
  clearTimeout(timer);
}

function start(reaper: Reaper, program: string, socket: number): Child {
  try {
    return spawn({ reaper }, { path: program, name: "hawser-exec", args: [], stdio: [-1, -1, -1, socket] });
  } finally {
    closeQuietly(socket);
  }
}

async function greeting(socket: number): Promise<void> {
  const deadline = performance.now() + patience;
  let message = receiveNow(socket);
  while (!message && performance.now() < deadline) {
    await pause();
    message = receiveNow(socket);
  }
  const word = message?.data.toString() ?? "";
  if (word === `hawser-exec ${protocol}`) return;
  if (word.startsWith("hawser-exec ")) throw new Error("it is of another version: make build");
  throw new Error("it ended without a word");
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, lookInterval));
}
