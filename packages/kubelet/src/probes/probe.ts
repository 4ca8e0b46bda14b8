import net from "node:net";
import type { Container, Probe } from "@hawser/api";
import { Code, CRIError, type RuntimeClient } from "@hawser/cri";
import { type CheckResult, checkHTTP, failureText } from "./http.ts";

/** What a probe or a lifecycle hook may do. */
export type Handler = Pick<Probe, "exec" | "httpGet" | "tcpSocket" | "grpc">;

export interface ProbeTarget {
  containerId: string;
  container: Container;
  podIP: string;
}

export interface ProbeRun {
  timeoutMs: number;
  signal: AbortSignal;
}

/**
 * Carries out one check. Throws when it could not be made at all, which counts neither as good nor as bad.
 *
 * Source: kubernetes pkg/kubelet/prober/prober.go
 */
export async function runProbe(
  { runtime }: { runtime: Pick<RuntimeClient, "execSync"> },
  handler: Handler,
  target: ProbeTarget,
  { timeoutMs, signal }: ProbeRun,
): Promise<CheckResult> {
  if (handler.exec) return runExec({ runtime }, handler.exec.command ?? [], target, { timeoutMs, signal });
  if (handler.httpGet) {
    const { scheme = "HTTP", host, port, path = "", httpHeaders } = handler.httpGet;
    const place = path.startsWith("/") ? path : `/${path}`;
    const address = host || target.podIP;
    const name = address.includes(":") ? `[${address}]` : address;
    const url = new URL(`${scheme.toLowerCase()}://${name}:${portNumber(target.container, port)}${place}`);
    return checkHTTP({ url, headers: httpHeaders ?? [], timeoutMs, signal });
  }
  if (handler.tcpSocket) {
    const { host, port } = handler.tcpSocket;
    return checkTCP({ host: host || target.podIP, port: portNumber(target.container, port), timeoutMs, signal });
  }
  throw new Error("gRPC probes are not supported");
}

async function runExec(
  { runtime }: { runtime: Pick<RuntimeClient, "execSync"> },
  cmd: string[],
  { containerId }: ProbeTarget,
  { timeoutMs, signal }: ProbeRun,
): Promise<CheckResult> {
  const timeout = BigInt(Math.ceil(timeoutMs / 1000));
  try {
    const { stdout, stderr, exitCode } = await runtime.execSync({ containerId, cmd, timeout }, { signal });
    const text = Buffer.concat([stdout, stderr])
      .subarray(0, 10 * 1024)
      .toString();
    return { ok: exitCode === 0, message: text };
  } catch (error) {
    if (error instanceof CRIError && error.code === Code.DeadlineExceeded) {
      return { ok: false, message: `command timed out: ${JSON.stringify(cmd.join(" "))} timed out after ${timeout}s` };
    }
    throw error;
  }
}

async function checkTCP({
  host,
  port,
  timeoutMs,
  signal,
}: { host: string; port: number } & ProbeRun): Promise<CheckResult> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net.connect({ host, port, signal, timeout: timeoutMs }, resolve);
  socket.once("timeout", () => reject(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })));
  socket.once("error", reject);
  try {
    await promise;
    return { ok: true, message: "" };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, message: failureText(error, { hostname: host, port }) };
  } finally {
    socket.destroy();
  }
}

/** A port by number, or by its name among the container's ports. */
export function portNumber(container: Container, port: unknown): number {
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) throw new Error(`couldn't find port: ${port}`);
  return number;
}
