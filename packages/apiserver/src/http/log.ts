import type { Logger } from "@hawser/trace";
import type { Request } from "../request.ts";

/** Headers whose values are never shown. */
const secret = new Set(["authorization", "cookie", "proxy-authorization", "sec-websocket-protocol"]);

/** At -v=3 and above each request with its outcome, at -v=8 its headers too: the verbosities of kube-apiserver and kubectl. */
export function requestLog(log: Logger, request: Request): { ended(code: number): void } {
  if (!log.v(3)) return { ended: () => {} };
  const start = performance.now();
  if (log.v(8)) {
    log.info(`${request.method} ${request.url}`, { headers: shownHeaders(request) });
  }
  return {
    ended(code) {
      log.info("HTTP", {
        verb: request.method ?? "",
        URI: request.url ?? "",
        latency: `${(performance.now() - start).toFixed(3)}ms`,
        userAgent: request.headers["user-agent"] ?? "",
        srcIP: `${request.socket?.remoteAddress ?? ""}:${request.socket?.remotePort ?? ""}`,
        resp: code,
      });
    },
  };
}

function shownHeaders(request: Request): Record<string, unknown> {
  const pairs = Object.entries(request.headers).map(([name, value]) => [name, secret.has(name) ? "<masked>" : value]);
  return Object.fromEntries(pairs);
}
