import { type IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import {
  badRequest,
  failure,
  genericResponse,
  internalError,
  invalid,
  type Pod,
  type PodLogOptions,
  parsePodLogOptions,
  type StatusError,
} from "@hawser/api";
import type { FindKubelet } from "../../../proxy/kubelet-connection.ts";
import type { KubeletPresence } from "../../../proxy/kubelet-presence.ts";
import { requestKubelet } from "../../../proxy/kubelet-request.ts";
import { logPath } from "../../../proxy/kubelet-url.ts";
import { plainError } from "../../../proxy/plain-error.ts";
import type { Objects, RequestContext, Response } from "../../../request.ts";
import { chooseContainer } from "./container.ts";

/** Of a kubelet's error, this much is read. Bytes. */
const maxErrorLength = 50_000;

export interface LogDependencies {
  objects: Pick<Objects, "get">;
  findKubelet: FindKubelet;
  presence: KubeletPresence;
}

/**
 * pods/log: answers with the container's log as the kubelet sends it, each piece at once. A follower's connection to the kubelet
 * goes with its client. A pod without a node has an empty log.
 *
 * Throws StatusError while nothing was answered: 404, 400 and 422 for what was asked, the kubelet's own refusal, 500 when it cannot be reached.
 * When the log breaks off later, or is quiet and its kubelet does not answer, so does the answer: it does not look complete.
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
  const kubelet = await dependencies.findKubelet(nodeName);
  const path = logPath(pod, container, options);
  log.at(8, `Reading log of https://${kubelet.host}${path}`);
  // Whoever goes first, the client or the server, the kubelet must hear of it.
  const gone = new AbortController();
  const ending = AbortSignal.any([signal, gone.signal]);
  const leave = () => gone.abort();
  response.on("close", leave);
  try {
    const source = await requestKubelet(kubelet, {
      path,
      skipVerify: options.insecureSkipTLSVerifyBackend,
      signal: ending,
      unreachable: (why) => `Get ${JSON.stringify(`https://${kubelet.host}${path}`)}: ${why}`,
    });
    if (!source) return;
    const { statusCode = 0 } = source;
    if (statusCode < 200 || statusCode > 206) throw await refusal(source, info.name);
    start(response);
    using _presence = options.follow ? dependencies.presence.watch(kubelet, source, log) : undefined;
    await pipeline(source, response).catch((error: unknown) => {
      if (!ending.aborted) log.at(2, "log broke off", { pod: info.name, container, error });
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
  const { reason = "", message } = genericResponse(code, body);
  return failure({ code, reason, message: `${message} ( pods/log ${name})`, details: { name, kind: "pods/log" } });
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
