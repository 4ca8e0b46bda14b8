// Streams: how much goes through, by one session and by eight, beside plain sockets; and how soon the first byte.
import { exec } from "@hawser/client";
import type { ClientSession, UpgradeKind } from "@hawser/streaming";
import { type CRIPod, openExec, openPod, succeeded } from "../cri-pod.ts";
import { type Contestant, race, timed, type Unit } from "../measure.ts";
import { startPlainPeer } from "../plain-socket.ts";
import type { Row } from "../table.ts";
import { benchPod, type ClusterPeer } from "./cluster.ts";
import type { Effort } from "./cri.ts";

/** Bytes moved by one run of a throughput row, by all its sessions together. */
const volume = 256 * 1024 * 1024;
const chunk = new Uint8Array(32 * 1024);
const sessionCounts = [1, 8];

interface StreamPeer extends ClusterPeer {
  endpoint: string;
  cgroupParent: string;
}

/** The pods named by `benchPod` run already. */
export async function streamRows(peers: readonly StreamPeer[], { runs, signal }: Effort): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const pods: { peer: StreamPeer; pod: CRIPod }[] = [];
  for (const peer of peers) pods.push({ peer, pod: stack.use(await openPod(peer)) });
  const few = Math.max(3, Math.ceil(runs / 6));
  const rows: Row[] = [];
  const add = async (title: string, unit: Unit, contestants: Contestant[]) => {
    const count = unit === "ms" ? runs : few;
    rows.push({
      title: `${title}, ${unit}`,
      cells: await race(contestants, { unit, runs: count, signal, warmUp: unit === "ms" ? 3 : 1 }),
    });
  };
  const atRuntime = (run: (pod: CRIPod) => Promise<number>) =>
    pods.map(({ peer: { name }, pod }) => ({ name, run: () => run(pod) }));
  const atAPIServer = (run: (peer: StreamPeer) => Promise<number>) =>
    peers.map((peer) => ({ name: peer.name, run: () => run(peer) }));

  /** The last is the way of a session through the API server and the kubelet. */
  const plain = [
    ["a plain TCP socket", stack.use(await startPlainPeer("TCP"))],
    ["a plain TLS socket", stack.use(await startPlainPeer("TLS"))],
    ["plain sockets and two relays (TLS, TLS, TCP)", stack.use(await startPlainPeer("TLS", "TLS", "TCP"))],
  ] as const;
  const [first] = peers;
  for (const sessions of sessionCounts) {
    const by = sessions === 1 ? "" : `, ${sessions} sessions`;
    const each = volume / sessions;
    const rate = async (one: () => Promise<void>) =>
      volume / 1e3 / (await timed(() => Promise.all(Array.from({ length: sessions }, one))));
    if (first) {
      const { name } = first;
      for (const [title, { receive, send }] of plain) {
        await add(`${title}, down${by}`, "MB/s", [{ name, run: () => rate(() => receive(each)) }]);
        await add(`${title}, up${by}`, "MB/s", [{ name, run: () => rate(() => send(each)) }]);
      }
    }
    for (const [kind, protocol] of [
      ["spdy", "SPDY"],
      ["websocket", "WebSocket v5"],
    ] as const) {
      await add(
        `stdout by ${protocol}${by}`,
        "MB/s",
        atRuntime((pod) => rate(() => output(pod, kind, each))),
      );
      await add(
        `stdin by ${protocol}${by}`,
        "MB/s",
        atRuntime((pod) => rate(() => input(pod, kind, each))),
      );
    }
    await add(
      `stdout through the API server${by}`,
      "MB/s",
      atAPIServer((peer) => rate(() => outputOf(peer, each))),
    );
    await add(
      `stdin through the API server${by}`,
      "MB/s",
      atAPIServer((peer) => rate(() => inputOf(peer, each))),
    );
  }
  await add(
    "time to the first byte by SPDY",
    "ms",
    atRuntime((pod) => firstByte(pod, "spdy")),
  );
  await add("time to the first byte through the API server", "ms", atAPIServer(firstByteOf));
  return rows;
}

function head(bytes: number): string[] {
  return ["head", "-c", String(bytes), "/dev/zero"];
}

async function output(pod: CRIPod, transport: UpgradeKind, bytes: number): Promise<void> {
  await using session = await openExec(pod, head(bytes), { transport, stdin: false });
  let received = 0;
  for await (const { byteLength } of session.stdout ?? []) received += byteLength;
  await succeeded(session.status);
  arrived(received, bytes);
}

async function input(pod: CRIPod, transport: UpgradeKind, bytes: number): Promise<void> {
  await using session = await openExec(pod, ["wc", "-c"], { transport, stdin: true });
  let answer = "";
  const feed = async ({ stdin }: ClientSession) => {
    for (let sent = 0; sent < bytes; sent += chunk.byteLength) await stdin?.write(chunk);
    await stdin?.close();
  };
  const read = async () => {
    for await (const part of session.stdout ?? []) answer += Buffer.from(part).toString();
  };
  await Promise.all([feed(session), read(), succeeded(session.status)]);
  arrived(Number(answer), bytes);
}

async function outputOf({ cluster: { client } }: StreamPeer, bytes: number): Promise<void> {
  let received = 0;
  const stdout = {
    held: 0,
    async write({ byteLength }: Uint8Array) {
      received += byteLength;
    },
  };
  await exec(client, { ...benchPod, command: head(bytes), stdout });
  arrived(received, bytes);
}

async function inputOf({ cluster: { client } }: StreamPeer, bytes: number): Promise<void> {
  let answer = "";
  const stdout = new WritableStream<Uint8Array>({
    write(part) {
      answer += Buffer.from(part).toString();
    },
  });
  await exec(client, { ...benchPod, command: ["wc", "-c"], stdin: zeros(bytes), stdout });
  arrived(Number(answer), bytes);
}

async function* zeros(bytes: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < bytes; sent += chunk.byteLength) yield chunk;
}

async function firstByte(pod: CRIPod, transport: UpgradeKind): Promise<number> {
  const start = performance.now();
  await using session = await openExec(pod, ["echo", "x"], { transport, stdin: false });
  let at = 0;
  for await (const _ of session.stdout ?? []) at ||= performance.now();
  await succeeded(session.status);
  return at - start;
}

async function firstByteOf({ cluster: { client } }: StreamPeer): Promise<number> {
  const start = performance.now();
  let at = 0;
  const stdout = new WritableStream<Uint8Array>({
    write() {
      at ||= performance.now();
    },
  });
  await exec(client, { ...benchPod, command: ["echo", "x"], stdout });
  return at - start;
}

function arrived(received: number, bytes: number): void {
  if (received !== bytes) throw new Error(`${received} of ${bytes} bytes arrived`);
}
