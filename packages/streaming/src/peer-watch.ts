// Peers that went without a word: a machine that lost its power, a network that is gone. No FIN comes then.
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { StreamError } from "./errors.ts";
import { defaultPeerTimeoutMs } from "./peer-timeout.ts";

/** The longest time between two looks, milliseconds. */
const longestLookMs = 2000;
/** Milliseconds for which the kernel asks an idle peer, ten times, before it gives up: libuv's figures. */
const keepAliveProbesMs = 10_000;

/** One or two may be lost, or left unanswered by a peer that is there (kernels answer probes of a closed window by ration). */
const mostLost = { retransmits: 2, probes: 1 };

interface Watched {
  key: string;
  timeoutMs: number;
  bytesRead: number;
  /** When the kernel was first seen asking in vain, milliseconds. */
  since: number | undefined;
  /** It stood in the kernel's table: should it not any more, the peer has reset it. */
  seen: boolean;
}

const watched = new Map<Socket, Watched>();
let timer: NodeJS.Timeout | undefined;
/** When the next look is due, milliseconds. */
let due = Number.POSITIVE_INFINITY;
let looking: Promise<void> | undefined;

/**
 * Gives a TCP or TLS connection up, by destroying it with a StreamError, when its peer has acknowledged nothing for `timeoutMs`
 * (30 s where it is undefined).
 *
 * So it does with one that its peer has reset: who does not read, because the other side does not, is told by nobody.
 *
 * TCP's own patience is a quarter of an hour when bytes are under way, and its keepalive is silent then. A peer that is there and
 * does not read (a window of 0) acknowledges each probe and is never given up: that is what tells this from TCP_USER_TIMEOUT.
 * An idle connection is left to the keepalive, set to the same time, but no less than 11 s. 0 watches nothing; a stream that is no TCP
 * connection is not watched. A closed window is probed at growing intervals of up to two minutes: who vanishes behind one that has been
 * closed for long is given up after the second of them.
 */
export function watchPeer(stream: Duplex, timeoutMs = defaultPeerTimeoutMs): Disposable {
  const socket = stream as Socket;
  const key = timeoutMs > 0 ? keyOf(socket) : undefined;
  if (key === undefined) return { [Symbol.dispose]: () => {} };
  socket.setKeepAlive(true, Math.max(1000, timeoutMs - keepAliveProbesMs));
  watched.set(socket, { key, timeoutMs, bytesRead: socket.bytesRead, since: undefined, seen: false });
  schedule();
  return {
    [Symbol.dispose]() {
      watched.delete(socket);
      if (watched.size === 0) unschedule();
    },
  };
}

/** Milliseconds on a clock that never goes back; `performance` would have to be loaded, which takes a client one. */
function clock(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Sees to the next look. One that is due sooner stays so: sessions that begin all the time must not put it off for ever. */
function schedule() {
  let wait = longestLookMs;
  for (const { timeoutMs } of watched.values()) wait = Math.min(wait, timeoutMs / 4);
  const wanted = clock() + wait;
  if (wanted >= due) return;
  unschedule();
  due = wanted;
  timer = setTimeout(() => {
    unschedule();
    void lookAtPeers().finally(() => watched.size > 0 && schedule());
  }, wait);
  timer.unref();
}

function unschedule() {
  clearTimeout(timer);
  due = Number.POSITIVE_INFINITY;
}

/** One look at all that is watched, as the timer takes it. */
export function lookAtPeers(): Promise<void> {
  looking ??= look().finally(() => {
    looking = undefined;
  });
  return looking;
}

async function look(): Promise<void> {
  try {
    const silent = [...watched].filter(([socket, state]) => {
      const heard = socket.bytesRead !== state.bytesRead;
      state.bytesRead = socket.bytesRead;
      if (heard) state.since = undefined;
      return !heard;
    });
    if (silent.length > 0) judge(silent, await readTables());
  } catch {
    // No /proc, or another form of it: TCP's own patience is what is left.
  }
}

function judge(silent: [Socket, Watched][], unanswered: Map<string, number>) {
  const now = clock();
  for (const [socket, state] of silent) {
    const count = unanswered.get(state.key);
    if (!count) state.since = undefined;
    else state.since ??= now;
    const isReset = count === undefined && state.seen;
    state.seen ||= count !== undefined;
    const isSilent = state.since !== undefined && now - state.since >= state.timeoutMs;
    if (!isReset && !isSilent) continue;
    watched.delete(socket);
    const address = socket.remoteAddress; // which it has no more when it is asked for its words
    const how = isReset ? "has reset the connection" : `has acknowledged nothing for ${state.timeoutMs / 1000} s`;
    socket.destroy(new StreamError("lost", (peer = "the peer") => `${peer} at ${address} ${how}`));
  }
}

/** A connection as the kernel's table has it: local port, remote address and port. */
function keyOf({ localPort, remoteAddress, remotePort }: Socket): string | undefined {
  if (localPort === undefined || remoteAddress === undefined || remotePort === undefined) return undefined;
  return `${localPort} ${remoteAddress.replace(/^::ffff:/, "")} ${remotePort}`;
}

async function readTables(): Promise<Map<string, number>> {
  const { readFile } = await import("node:fs/promises"); // most sessions end before it is needed
  const texts = await Promise.all([
    readFile("/proc/self/net/tcp", "latin1"),
    readFile("/proc/self/net/tcp6", "latin1").catch(() => ""), // a kernel without IPv6 has none
  ]);
  return new Map(texts.flatMap((text) => [...parseTCPTable(text)]));
}

/**
 * Reads /proc/net/tcp or tcp6: connections and their unanswered segments, 0 where they are no more than may happen. What is retransmitted
 * counts, and probes of a closed window.
 *
 * Source: torvalds/linux Documentation/networking/proc_net_tcp.rst
 */
export function* parseTCPTable(text: string): Generator<[connection: string, unanswered: number]> {
  for (const line of text.split("\n").slice(1)) {
    const [, local = "", remote = "", , , clock = "", retransmits = "", , probes = ""] = line.trim().split(/\s+/);
    const kind = clock.slice(0, 2);
    const [address = "", port = ""] = remote.split(":");
    if (port === "") continue; // the last line's end
    const sent = kind === "01" ? Number.parseInt(retransmits, 16) : 0;
    const probed = kind === "04" ? Number(probes) : 0;
    const unanswered = sent > mostLost.retransmits || probed > mostLost.probes ? sent + probed : 0;
    yield [`${portOf(local)} ${addressOf(address)} ${Number.parseInt(port, 16)}`, unanswered];
  }
}

function portOf(end: string): number {
  return Number.parseInt(end.split(":")[1] ?? "", 16);
}

/** Addresses stand there as words in this machine's order, which is little-endian. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse());
  const numbers = bytes.map((byte) => Number.parseInt(byte, 16));
  if (numbers.length === 4) return numbers.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => `${bytes[2 * at]}${bytes[2 * at + 1]}`.toLowerCase());
  if (groups.slice(0, 6).join(":") === "0000:0000:0000:0000:0000:ffff") return numbers.slice(12).join(".");
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1); // in its short form, as sockets have it
}
