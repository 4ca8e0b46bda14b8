import type { IncomingMessage } from "node:http";
import http from "node:http";
import https from "node:https";
import { dialErrorText } from "@hawser/streaming";

/** Bytes of a body that are looked at: it only goes into messages. */
const maxBodyBytes = 10 * 1024;
const maxRedirects = 10;

export interface HTTPCheck {
  url: URL;
  headers?: { name: string; value: string }[];
  /** Milliseconds for the whole exchange. */
  timeoutMs: number;
  signal: AbortSignal;
}

export interface CheckResult {
  ok: boolean;
  /** What was found, in the kubelet's words. */
  message: string;
}

/**
 * GETs a URL: a code from 200 to 399 is good. Redirects are followed within the host; one that leads elsewhere is good
 * by itself. Certificates are not verified: the pod's own may be anyone's.
 *
 * Source: kubernetes pkg/probe/http/http.go
 */
export async function checkHTTP(check: HTTPCheck): Promise<CheckResult> {
  const limit = AbortSignal.any([check.signal, AbortSignal.timeout(check.timeoutMs)]);
  let { url } = check;
  try {
    for (let hop = 0; hop <= maxRedirects; hop++) {
      const { statusCode = 0, headers, body } = await get(url, check.headers ?? [], limit);
      const location = headers.location;
      if (statusCode >= 300 && statusCode < 400 && location) {
        const next = new URL(location, url);
        if (next.hostname !== url.hostname)
          return { ok: true, message: `Probe terminated redirects, Response body: ${body}` };
        url = next;
        continue;
      }
      const ok = statusCode >= 200 && statusCode < 400;
      return { ok, message: ok ? body : `HTTP probe failed with statuscode: ${statusCode}` };
    }
    return { ok: false, message: `Get "${check.url}": stopped after ${maxRedirects} redirects` };
  } catch (error) {
    check.signal.throwIfAborted();
    return { ok: false, message: `Get "${url}": ${failureText(error, url)}` };
  }
}

function get(url: URL, extra: { name: string; value: string }[], signal: AbortSignal) {
  const headers: Record<string, string | string[]> = {
    "User-Agent": "kube-probe/1.33",
    Accept: "*/*",
    Connection: "close",
  };
  for (const { name, value } of extra) {
    const taken = Object.keys(headers).find((one) => one.toLowerCase() === name.toLowerCase());
    if (taken) delete headers[taken];
    headers[name] = value;
  }
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { headers, signal, agent: false as const, rejectUnauthorized: false };
  const request = (url.protocol === "https:" ? https : http).get(url, options, resolve);
  request.on("error", reject);
  return promise.then(async (answer) => {
    const parts: Buffer[] = [];
    let length = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      parts.push(chunk);
      length += chunk.length;
      if (length >= maxBodyBytes) break;
    }
    answer.destroy();
    const body = Buffer.concat(parts).subarray(0, maxBodyBytes).toString();
    return { statusCode: answer.statusCode, headers: answer.headers, body };
  });
}

/** A connection's failure as Go words it, which is what people search for. */
export function failureText(error: unknown, { hostname, port }: { hostname: string; port: string | number }): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (name === "TimeoutError" || name === "AbortError" || code === "ABORT_ERR") {
    return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
  }
  return dialErrorText(error, `${hostname}:${port || 80}`) ?? message;
}
