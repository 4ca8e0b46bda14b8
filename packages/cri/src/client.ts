import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { maxDeadlineMs } from "./deadline.ts";
import { type AnyMessage, type APIVersion, methodDefinition } from "./definition.ts";
import { Code, CRIError, isUnimplemented } from "./errors.ts";
import {
  type ExecSyncRequest,
  ImageService as ImageDescriptor,
  RuntimeService as RuntimeDescriptor,
  type StopContainerRequest,
} from "./gen/cri_pb.ts";
import type { CallOptions, ImageClient, RuntimeClient } from "./service.ts";

/** Largest answer taken, bytes: ExecSync's two outputs of 16 MiB each, and their envelope. */
const maxAnswerBytes = 33 * 1024 * 1024;
/** How long a call may take where nothing else is said, milliseconds. Source: the kubelet's runtimeRequestTimeout. */
const defaultCallTimeout = 2 * 60_000;
/** How long connectCRI waits for a runtime that is just starting, milliseconds. */
const defaultConnectTimeout = 10_000;

export interface ConnectOptions {
  /** `unix:///run/x.sock`, or the path alone. */
  endpoint: string;
  /** How long to wait for the runtime to answer, milliseconds; default 10 s. */
  timeoutMs?: number;
  /** How long an ordinary call may take, milliseconds; default 2 min. */
  callTimeoutMs?: number;
}

export interface CRIConnection extends Disposable {
  runtime: RuntimeClient;
  images: ImageClient;
  apiVersion: APIVersion;
  runtimeName: string;
  runtimeVersion: string;
  close(): void;
}

/**
 * Connects to a CRI runtime, by v1 or, where it does not know that, by v1alpha2.
 *
 * A connection that breaks is made again, with pauses of 0.1 to 0.5 s; calls meanwhile fail with CRIError Unavailable.
 * Throws CRIError Unavailable or DeadlineExceeded when nobody answers in time.
 */
export async function connectCRI(options: ConnectOptions): Promise<CRIConnection> {
  const channel = openChannel(options.endpoint);
  try {
    await ready(channel, options);
    for (const apiVersion of ["v1", "v1alpha2"] as const) {
      const policy = { callTimeoutMs: options.callTimeoutMs ?? defaultCallTimeout, apiVersion };
      const runtime = callers(channel, RuntimeDescriptor, policy) as RuntimeClient;
      try {
        const { runtimeName, runtimeVersion } = await runtime.version({ version: apiVersion });
        const images = callers(channel, ImageDescriptor, policy) as ImageClient;
        const close = () => channel.close();
        return { runtime, images, apiVersion, runtimeName, runtimeVersion, close, [Symbol.dispose]: close };
      } catch (error) {
        if (!isUnimplemented(error) || apiVersion === "v1alpha2") throw error;
      }
    }
    throw new Error("unreachable: the last version has thrown");
  } catch (error) {
    channel.close();
    throw error;
  }
}

/** The path of a `unix://` endpoint. Throws for any other scheme. */
export function socketPathOf(endpoint: string): string {
  const path = endpoint.replace(/^unix:(\/\/)?(?=\/)/, "");
  if (!path.startsWith("/")) throw new Error(`runtime endpoint "${endpoint}" is not unix:///PATH`);
  return path;
}

/**
 * Calls a client-streaming method served by serveCRI's `uploads`: the chunks in order, then the answer.
 * The socket's back-pressure stops the reading of `chunks`. Throws CRIError, or the signal's reason.
 */
export async function upload(options: {
  endpoint: string;
  /** The gRPC path, such as `/hawser.v1.Images/Load`. */
  path: string;
  chunks: AsyncIterable<Uint8Array>;
  signal?: AbortSignal | undefined;
}): Promise<Uint8Array> {
  options.signal?.throwIfAborted();
  const channel = openChannel(options.endpoint);
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const plain = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const call = channel.makeClientStreamRequest<Uint8Array, Uint8Array>(
    options.path,
    plain,
    (bytes) => new Uint8Array(bytes),
    (error, answer) => {
      if (error) reject(criError(error));
      else resolve(answer ?? new Uint8Array());
    },
  );
  const cancel = () => call.cancel();
  options.signal?.addEventListener("abort", cancel, { once: true });
  const ended = promise.then(
    () => true,
    () => true,
  );
  const send = async () => {
    for await (const chunk of options.chunks) {
      const taken = new Promise<false>((done) => call.write(chunk, () => done(false)));
      if (await Promise.race([taken, ended])) return; // answered before its end: the rest is not read
    }
    call.end();
  };
  try {
    send().catch((cause: unknown) => {
      reject(cause);
      call.cancel();
    });
    return await promise;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", cancel);
    channel.close();
  }
}

function openChannel(endpoint: string): Client {
  return new Client(`unix:${socketPathOf(endpoint)}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": maxAnswerBytes,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
    "grpc.use_local_subchannel_pool": 1, // so that close() closes it
  });
}

function ready(channel: Client, { endpoint, timeoutMs = defaultConnectTimeout }: ConnectOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.waitForReady(Date.now() + timeoutMs, (cause) => {
      if (!cause) resolve();
      else
        reject(
          new CRIError(Code.Unavailable, `no CRI runtime answers on ${endpoint} within ${timeoutMs} ms`, { cause }),
        );
    });
  });
}

interface Policy {
  apiVersion: APIVersion;
  callTimeoutMs: number;
}

function callers(channel: Client, service: DescService, policy: Policy): unknown {
  return Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      method.methodKind === "server_streaming" ? streaming(channel, method, policy) : unary(channel, method, policy),
    ]),
  );
}

function unary(channel: Client, method: DescMethod, policy: Policy) {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method, policy.apiVersion);
  return (request: AnyMessage, { signal, timeoutMs }: CallOptions = {}): Promise<AnyMessage> => {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const timeout = timeoutMs ?? timeoutFor(method, request, policy.callTimeoutMs);
    const options = withDeadline(timeout);
    return new Promise((resolve, reject) => {
      const cancel = () => call.cancel();
      const call = channel.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (error, answer) => {
          signal?.removeEventListener("abort", cancel);
          if (signal?.aborted) reject(signal.reason);
          else if (error) reject(criError(error));
          else resolve(answer as AnyMessage);
        },
      );
      signal?.addEventListener("abort", cancel, { once: true });
    });
  };
}

function streaming(channel: Client, method: DescMethod, policy: Policy) {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method, policy.apiVersion);
  return async function* (request: AnyMessage, { signal, timeoutMs }: CallOptions = {}): AsyncGenerator<AnyMessage> {
    signal?.throwIfAborted();
    const options = withDeadline(timeoutMs ?? 0);
    const call = channel.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, options);
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      yield* call;
    } catch (error) {
      signal?.throwIfAborted();
      throw criError(error as ServiceError);
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.on("error", () => undefined); // the CANCELLED that follows is our own doing
      call.cancel();
    }
  };
}

/**
 * Milliseconds a call may take; 0 for no limit. A pull takes what it takes; a stop and an execSync last as long as asked.
 *
 * Source: kubernetes pkg/kubelet/cri/remote/remote_runtime.go
 */
function timeoutFor(method: DescMethod, request: AnyMessage, usual: number): number {
  switch (method.localName) {
    case "pullImage":
      return 0;
    case "runPodSandbox":
      return usual * 2;
    case "stopContainer":
      return usual + seconds((request as Partial<StopContainerRequest>).timeout);
    case "execSync": {
      const timeout = seconds((request as Partial<ExecSyncRequest>).timeout);
      return timeout > 0 ? usual + timeout : 0;
    }
    default:
      return usual;
  }
}

/** None for 0, and where grpc-js could not count it: a stop may be asked to wait for years. */
function withDeadline(timeoutMs: number): { deadline?: number } {
  return timeoutMs > 0 && timeoutMs <= maxDeadlineMs ? { deadline: Date.now() + timeoutMs } : {};
}

function seconds(value: bigint | undefined): number {
  return Number(value ?? 0n) * 1000;
}

function criError(error: ServiceError): Error {
  return typeof error.code === "number" ? new CRIError(error.code as Code, error.details, { cause: error }) : error;
}
