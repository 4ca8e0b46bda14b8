import { setTimeout as delay } from "node:timers/promises";
import type { Container } from "@hawser/api";
import type { RuntimeClient } from "@hawser/cri";
import { runProbe } from "../probes/probe.ts";

type Lifecycle = NonNullable<Container["lifecycle"]>;

/**
 * Runs a container's lifecycle hook to its end. Throws, saying what went wrong, when it fails.
 *
 * Source: kubernetes pkg/kubelet/lifecycle/handlers.go
 */
export async function runHook(
  { runtime }: { runtime: Pick<RuntimeClient, "execSync"> },
  hook: NonNullable<Lifecycle["postStart"]>,
  target: { containerId: string; container: Container; podIP: string },
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<void> {
  if (hook.sleep) {
    await delay(Math.min(hook.sleep.seconds * 1000, timeoutMs), undefined, { signal });
    return;
  }
  // A hook without a port means the scheme's own.
  const httpGet = hook.httpGet && {
    ...hook.httpGet,
    port: hook.httpGet.port || (hook.httpGet.scheme === "HTTPS" ? 443 : 80),
  };
  const handler = { ...(hook.exec && { exec: hook.exec }), ...(httpGet && { httpGet }) };
  const { ok, message } = await runProbe({ runtime }, handler, target, { timeoutMs, signal });
  if (ok) return;
  const what = hook.exec ? `Exec lifecycle hook (${JSON.stringify(hook.exec.command ?? [])})` : "Http lifecycle hook";
  throw new Error(`${what} for Container "${target.container.name}" failed - ${message}`);
}
