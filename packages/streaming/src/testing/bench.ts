// Throughput of one remotecommand hop over loopback, two processes: node packages/streaming/src/testing/bench.ts [MiB]
import { fork } from "node:child_process";
import { once } from "node:events";
import { exitStatus } from "@hawser/api";
import { openRemoteCommand } from "../remotecommand/client.ts";
import { acceptRemoteCommand } from "../remotecommand/server.ts";
import { listenUpgrades } from "./upgrade-server.ts";

const chunk = Buffer.alloc(64 * 1024, "b");
const streams = { stdin: true, stdout: true, stderr: false, tty: false };

async function serve() {
  const server = await listenUpgrades(async (upgrade) => {
    await using session = await acceptRemoteCommand(upgrade, streams);
    const bytes = Number(new URL(upgrade.request.url ?? "", "http://h").searchParams.get("stdout"));
    for (let sent = 0; sent < bytes; sent += chunk.byteLength) await session.stdout?.write(chunk);
    if (bytes === 0) for await (const piece of session.stdin ?? []) void piece;
    await session.finish(exitStatus(0));
  });
  process.send?.(server.url.href);
}

async function run(
  url: string,
  transport: "spdy" | "websocket",
  direction: "stdout" | "stdin",
  bytes: number,
): Promise<number> {
  const target = new URL(direction === "stdout" ? `?stdout=${bytes}` : "?stdout=0", url);
  const start = performance.now();
  await using session = await openRemoteCommand({ url: target }, { ...streams, transports: [transport] });
  const read = (async () => {
    let length = 0;
    for await (const piece of session.stdout ?? []) length += piece.byteLength;
    return length;
  })();
  if (direction === "stdin")
    for (let sent = 0; sent < bytes; sent += chunk.byteLength) await session.stdin?.write(chunk);
  await session.stdin?.close();
  const [length] = await Promise.all([read, session.status]);
  if (direction === "stdout" && length !== bytes) throw new Error(`read ${length} of ${bytes} bytes`);
  return bytes / 1e6 / ((performance.now() - start) / 1000);
}

/** Milliseconds from the dial to the status of an empty session. */
async function latency(url: string, transport: "spdy" | "websocket"): Promise<number> {
  const start = performance.now();
  await using session = await openRemoteCommand(
    { url: new URL("?stdout=0", url) },
    { ...streams, transports: [transport] },
  );
  await session.stdin?.close();
  await session.status;
  return performance.now() - start;
}

async function measure(megabytes: number) {
  const child = fork(import.meta.filename, ["serve"]);
  const [url] = (await once(child, "message")) as [string];
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
  for (const transport of ["spdy", "websocket"] as const) {
    for (const direction of ["stdout", "stdin"] as const) {
      const rates: number[] = [];
      for (let turn = 0; turn < 5; turn++) rates.push(await run(url, transport, direction, megabytes * 1024 * 1024));
      console.log(
        `${transport} ${direction}: ${median(rates).toFixed(0)} MB/s (${rates.map((rate) => rate.toFixed(0)).join(" ")})`,
      );
    }
    const times: number[] = [];
    for (let turn = 0; turn < 200; turn++) times.push(await latency(url, transport));
    console.log(`${transport} empty session: ${median(times).toFixed(2)} ms`);
  }
  child.kill();
}

if (process.argv[2] === "serve") await serve();
else await measure(Number(process.argv[2] ?? 256));
