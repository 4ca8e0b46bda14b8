import { once } from "node:events";
import { createServer } from "node:net";

/** Below the ports that the kernel gives to whoever asks for any (32,768 and up), and those of Services (30,000 and up). */
const first = 12_000;
/** Ports for each of the test files that run at the same time. */
const share = 2_000;
const shares = 8;
const worker = Number(process.env.NODE_TEST_WORKER_ID ?? 0) % shares;
/** Other runs on this machine have the same shares: they begin elsewhere in it. */
let given = process.pid * 8;

/**
 * A TCP port that nobody listens on right now, on any address. No other test file of this run gets it, nor anybody who asks the kernel for some port; this
 * process does not get it again soon.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < share; tries++) {
    const port = first + worker * share + (given++ % share);
    if (await isFree(port)) return port;
  }
  throw new Error(`every port of ${first + worker * share} and the next ${share} is in use`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "0.0.0.0");
  try {
    await once(server, "listening");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") return false;
    throw error;
  }
  server.close();
  await once(server, "close");
  return true;
}
