import type { Transport } from "./clients.ts";
import type { Target } from "./target.ts";

/** Runs something, and tells which transports its sessions spoke, by the API server's own log of their upgrades. */
export async function listen<T>(target: Target, act: () => Promise<T>): Promise<{ result: T; spoken: Transport[] }> {
  const before = (await target.cluster.log("apiserver")).length;
  const result = await act();
  const log = (await target.cluster.log("apiserver")).slice(before);
  return { result, spoken: [...new Set(transportsIn(log))] };
}

function* transportsIn(log: string): Generator<Transport> {
  for (const [, headers = ""] of log.matchAll(/Connecting to backend proxy .* Headers: map\[(.*)\]/g)) {
    const [, upgrade = ""] = /(?:^| )Upgrade:\[([^\]]*)\]/.exec(headers) ?? [];
    yield upgrade.toLowerCase() === "websocket" ? "WebSocket" : "SPDY";
  }
}
