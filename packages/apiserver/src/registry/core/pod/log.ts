import { type IncomingMessage, ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream/promises";
import {
  badRequest,
  failure,
  internalError,
  invalid,
  type Pod,
  type PodLogOptions,
  parsePodLogOptions,
  type StatusError,
} from "@hawser/api";
import { dialErrorText } from "@hawser/streaming";
import { plainError, timeoutError } from "../../../proxy/dial-error.ts";
import type { FindKubelet, Kubelet } from "../../../proxy/kubelet-connection.ts";
import { type KubeletPath, logPath } from "../../../proxy/kubelet-url.ts";
import type { Objects, RequestContext, Response } from "../../../request.ts";
import { chooseContainer } from "./container.ts";

/** From the start of a connection to the end of its TLS handshake. Milliseconds. */
const connectTimeout = 10_000;
/** Of a kubelet's error, this much is read. Bytes. */
const maxErrorLength = 50_000;

export interface LogDependencies {
  objects: Pick<Objects, "get">;
  findKubelet: FindKubelet;
}

/**
 * pods/log: answers with the container's log as the kubelet sends it, each piece at once. A follower's connection to the kubelet
 * goes with its client. A pod without a node has an empty log.
 *
 * Throws StatusError while nothing was answered: 404, 400 and 422 for what was asked, the kubelet's own refusal, 500 when it cannot be reached.
 * When the log breaks off later, so does the answer: it does not look complete.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/rest/log.go, kubernetes/apiserver pkg/registry/generic/rest
 */
export async function podLog(dependencies: LogDependencies, context: RequestContext): Promise<void> {
  const { info, url, response, signal, log } = context;
  if (!response) throw badRequest("the log cannot be had by an upgrade of the connection");
  const options = parsePodLogOptions(url.searchParams);
  validate(options, info.name);
  const pod = await dependencies.objects.get<Pod>({ resource: "pods", namespace: info.namespace, name: info.name });
  const container = chooseContainer(pod, options.container);
  const nodeName = pod.spec?.nodeName;
  if (!nodeName) {
    start(response);
    response.end();
    return;
  }
  const kubelet = await dependencies.findKubelet(nodeName).catch((cause: unknown) => {
    throw cause instanceof Error && cause.name !== "StatusError" ? plainError(cause.message, cause) : cause;
  });
  const path = logPath(pod, container, options);
  log.at(8, `Reading log of https://${kubelet.host}${path}`);
  // Whoever goes first, the client or the server, the kubelet must hear of it.
  const gone = new AbortController();
  const leave = () => gone.abort();
  response.on("close", leave);
  try {
    const skipVerify = options.insecureSkipTLSVerifyBackend;
    const ask = { kubelet, path, skipVerify, signal: AbortSignal.any([signal, gone.signal]) };
    const source = await open(ask).catch((cause: unknown) => {
      if (ask.signal.aborted) return undefined;
      const why = dialErrorText(cause, kubelet.host) ?? (cause instanceof Error ? cause.message : String(cause));
      throw plainError(`Get ${JSON.stringify(`https://${kubelet.host}${path}`)}: ${why}`, cause);
    });
    if (!source) return;
    const { statusCode = 0 } = source;
    if (statusCode < 200 || statusCode > 206) throw await refusal(source, info.name);
    start(response);
    await pipeline(source, response).catch((error: unknown) => {
      if (!ask.signal.aborted) log.at(2, "log broke off", { pod: info.name, container, error });
    });
  } finally {
    response.off("close", leave);
    gone.abort();
  }
}

/** Headers go out at once: a follower of a silent container must know that it is connected. */
function start(response: Response): void {
  response.setHeader("Content-Type", "text/plain");
  // HTTP/1.1 waits for a body unless told.
  if (response instanceof ServerResponse) response.flushHeaders();
  else response.writeHead(200);
}

interface LogRequest {
  kubelet: Kubelet;
  path: KubeletPath;
  skipVerify: boolean;
  signal: AbortSignal;
}

function open({ kubelet, path, skipVerify, signal }: LogRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const tls = { ...kubelet.tls, ...(skipVerify && { rejectUnauthorized: false }) };
    const request = httpsRequest(new URL(path, kubelet.base), { ...tls, signal, agent: false });
    const timer = setTimeout(() => request.destroy(timeoutError()), connectTimeout);
    request.on("socket", (socket) => socket.once("secureConnect", () => clearTimeout(timer)));
    request.on("close", () => clearTimeout(timer));
    request.on("response", resolve);
    request.on("error", reject);
    request.end();
  });
}

/**
 * A kubelet's refusal as the Status the client gets.
 *
 * Source: kubernetes/apiserver pkg/registry/generic/rest/response_checker.go, kubernetes/apimachinery pkg/api/errors/errors.go
 */
async function refusal(source: IncomingMessage, name: string): Promise<StatusError> {
  const code = source.statusCode ?? 500;
  const body = await readText(source);
  if (code >= 300 && code < 400) return plainError("redirects forbidden");
  if (code === 500) return internalError(new Error(body));
  if (code === 400) return badRequest(body);
  const [reason, message] = generic(code, body);
  return failure({ code, reason, message: `${message} ( pods/log ${name})`, details: { name, kind: "pods/log" } });
}

function generic(code: number, body: string): [reason: string, message: string] {
  switch (code) {
    case 401:
      return ["Unauthorized", "the server has asked for the client to provide credentials"];
    case 403:
      return ["Forbidden", body];
    case 404:
      return ["NotFound", "the server could not find the requested resource"];
    case 405:
      return ["MethodNotAllowed", "the server does not allow this method on the requested resource"];
    case 429:
      return ["TooManyRequests", "the server has received too many requests and has asked us to try again later"];
    case 503:
      return ["ServiceUnavailable", "the server is currently unable to handle the request"];
    default:
      if (code < 500)
        return ["", `the server responded with the status code ${code} but did not return more information`];
      return [
        "InternalError",
        `an error on the server (${JSON.stringify(body)}) has prevented the request from succeeding`,
      ];
  }
}

async function readText(source: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= maxErrorLength) break; // leaving the loop destroys the source
  }
  return Buffer.concat(chunks).subarray(0, maxErrorLength).toString();
}

/** Source: kubernetes/kubernetes pkg/apis/core/validation/validation.go ValidatePodLogOptions */
function validate(options: PodLogOptions, name: string): void {
  const { tailLines, limitBytes, sinceSeconds, sinceTime, stream } = options;
  const causes: { field: string; reason: string; message: string }[] = [];
  const wrong = (field: string, value: number | string, why: string) => {
    const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
    causes.push({ field, reason: "FieldValueInvalid", message: `Invalid value: ${shown}: ${why}` });
  };
  if (tailLines !== undefined && tailLines < 0) wrong("tailLines", tailLines, "must be greater than or equal to 0");
  if (limitBytes !== undefined && limitBytes < 1) wrong("limitBytes", limitBytes, "must be greater than 0");
  if (sinceSeconds !== undefined && sinceTime !== undefined) {
    const message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
    causes.push({ field: "", reason: "FieldValueForbidden", message });
  } else if (sinceSeconds !== undefined && sinceSeconds < 1) {
    wrong("sinceSeconds", sinceSeconds, "must be greater than 0");
  }
  if (sinceTime !== undefined && Number.isNaN(Date.parse(sinceTime)))
    wrong("sinceTime", sinceTime, "must be an RFC 3339 time");
  if (stream !== undefined && !["All", "Stdout", "Stderr"].includes(stream)) {
    const message = `Unsupported value: ${JSON.stringify(stream)}: supported values: "All", "Stdout", "Stderr"`;
    causes.push({ field: "stream", reason: "FieldValueNotSupported", message });
  }
  if (causes.length > 0) throw invalid("PodLogOptions", name, causes);
}
