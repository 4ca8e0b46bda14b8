import { isIP } from "node:net";
import { isLoopback } from "../images/registry/loopback.ts";

/** Where the metrics are served: a Unix socket or a port of a loopback address. */
export type MetricsAddress = { path: string } | { host: string; port: number };

/** Reads the setting `metrics.address`; undefined for none. Throws for what is not loopback, or no address. */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
  if (text === "") return undefined;
  const fail = (why: string): never => {
    throw new Error(`setting "metrics.address" ${why}, and not ${JSON.stringify(text)}`);
  };
  if (text.startsWith("unix:")) {
    const path = text.replace(/^unix:(\/\/)?(?=\/)/, "");
    return path.startsWith("/") ? { path } : fail("has to be unix:///PATH with an absolute path");
  }
  const [, bracketed, plain, port = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? "";
  if (host === "" || +port > 65535) return fail("has to be unix:///PATH or ADDRESS:PORT");
  if (!(isIP(host) || host === "localhost") || !isLoopback(host)) {
    return fail("has to be a loopback address, since whoever reaches it can read the metrics");
  }
  return { host, port: +port };
}
