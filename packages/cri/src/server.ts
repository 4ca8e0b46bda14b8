import { chmod, unlink } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  type ServerReadableStream,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { bounded } from "./bounded.ts";
import { clientsDeadline } from "./deadline.ts";
import { type AnyMessage, type APIVersion, apiVersions, methodDefinition, serviceName } from "./definition.ts";
import { Code, CRIError } from "./errors.ts";
import { ImageService as ImageDescriptor, RuntimeService as RuntimeDescriptor } from "./gen/cri_pb.ts";
import { listen } from "./listener.ts";
import type { CallContext, ImageService, RuntimeService } from "./service.ts";
import { claimSocket } from "./socket.ts";

/** Largest request taken, bytes. Source: kubernetes' clients cap a message at 16 MiB; a little above it for the envelope. */
const maxRequestBytes = 17 * 1024 * 1024;

/** Told of each call when it has ended. */
export interface CallReport {
  /** `RunPodSandbox`, without its service. */
  method: string;
  /** `runtime.v1.RuntimeService`: of the version that was called. */
  service: string;
  kind: "unary" | "server_stream";
  code: Code;
  /** Milliseconds; for a stream, its whole life. */
  durationMs: number;
  /** With its message cut, as the caller gets it. */
  error?: unknown;
}

/** A client-streaming method of our own beside the CRI: chunks in, one answer out. */
export type Upload = (chunks: AsyncIterable<Uint8Array>, context: CallContext) => Promise<Uint8Array>;

export interface ServeOptions {
  socketPath: string;
  runtime: Partial<RuntimeService>;
  images: Partial<ImageService>;
  /** By gRPC path, such as `/hawser.v1.Images/Load`. */
  uploads?: Record<string, Upload>;
  /** Called once per call. Must not throw. */
  onCall?: (report: CallReport) => void;
}

/**
 * Serves the CRI on a Unix socket (mode 0600), as runtime.v1 and as runtime.v1alpha2.
 *
 * A method that is not given answers Unimplemented; a CRIError keeps its code; any other error is Unknown with its text, of which
 * 4,096 characters are sent.
 * Throws when a live server has the socket; replaces a dead one. Disposing ends running calls and removes the socket.
 */
export function serveCRI(options: ServeOptions): Promise<AsyncDisposable> {
  return serveVersions(options, apiVersions);
}

/** serveCRI for some versions only, so that a test can be an old runtime. */
export async function serveVersions(options: ServeOptions, versions: readonly APIVersion[]): Promise<AsyncDisposable> {
  await claimSocket(options.socketPath);
  const server = new Server({
    "grpc.max_receive_message_length": maxRequestBytes,
    "grpc.max_send_message_length": -1, // ExecSync may answer twice 16 MiB; its method bounds it
    "grpc.enable_channelz": 0, // counts for a service that we do not serve, at each call
    interceptors: [clientsDeadline],
  });
  for (const [descriptor, handlers] of [
    [RuntimeDescriptor, options.runtime],
    [ImageDescriptor, options.images],
  ] as const) {
    for (const version of versions) {
      const definition: Record<string, MethodDefinition<AnyMessage, AnyMessage>> = {};
      const implementation: UntypedServiceImplementation = {};
      for (const method of (descriptor as DescService).methods) {
        definition[method.localName] = methodDefinition(method, version);
        implementation[method.localName] = bind(method, version, handlers as Record<string, AnyHandler>, options);
      }
      server.addService(definition, implementation);
    }
  }
  for (const [path, upload] of Object.entries(options.uploads ?? {})) addUpload(server, path, upload);

  const listening = await listen(server, options.socketPath);
  await chmod(options.socketPath, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      await listening[Symbol.asyncDispose]();
      server.forceShutdown();
      await unlink(options.socketPath).catch(() => undefined); // libuv has removed it already when it closed in time
    },
  };
}

type AnyHandler = (request: AnyMessage, context: CallContext) => Promise<AnyMessage> | AsyncIterable<AnyMessage>;

/** One grpc-js handler for one CRI method. The casts are where grpc-js' untyped table meets our typed one. */
function bind(method: DescMethod, version: APIVersion, handlers: Record<string, AnyHandler>, { onCall }: ServeOptions) {
  const service = serviceName(method.parent, version);
  const kind = method.methodKind === "server_streaming" ? "server_stream" : "unary";
  const report = (started: number, error?: unknown) => {
    const code = error === undefined ? Code.OK : codeOf(error);
    const durationMs = performance.now() - started;
    onCall?.({
      method: method.name,
      service,
      kind,
      code,
      durationMs,
      error: error === undefined ? error : bounded(error),
    });
  };
  // Looked up per call: a test may replace one meanwhile.
  const find = (): AnyHandler => {
    const handler = handlers[method.localName];
    if (handler) return handler.bind(handlers);
    throw new CRIError(Code.Unimplemented, `unknown method ${method.name} for service ${method.parent.name}`);
  };

  if (method.methodKind === "server_streaming") {
    const serve: handleServerStreamingCall<AnyMessage, AnyMessage> = (call) => {
      const started = performance.now();
      const abort = abortWith(call);
      const run = async () => {
        const answers = find()(call.request, { signal: abort.signal }) as AsyncIterable<AnyMessage>;
        for await (const answer of answers) {
          if (abort.signal.aborted) return;
          if (!call.write(answer)) await drained(call, abort.signal);
        }
      };
      run().then(
        () => {
          call.end();
          report(started);
        },
        (error: unknown) => {
          call.emit("error", serviceError(error));
          report(started, error);
        },
      );
    };
    return serve;
  }

  const serve: handleUnaryCall<AnyMessage, AnyMessage> = (call, callback) => {
    const started = performance.now();
    const abort = abortWith(call);
    const run = async () => {
      return await (find()(call.request, { signal: abort.signal }) as Promise<AnyMessage>);
    };
    run().then(
      (answer) => {
        abort.over();
        callback(null, answer);
        report(started);
      },
      (error: unknown) => {
        abort.over();
        callback(serviceError(error));
        report(started, error);
      },
    );
  };
  return serve;
}

interface Cancellable {
  on(event: "cancelled", listener: () => void): unknown;
  off(event: "cancelled", listener: () => void): unknown;
  cancelled: boolean;
}

/**
 * A signal that follows the call, until it is said to be over: grpc-js says `cancelled` for a cancel, a lost client and a passed
 * deadline, and when an answered call's stream is closed.
 */
function abortWith(call: Cancellable): { signal: AbortSignal; over(): void } {
  const controller = new AbortController();
  const cancel = () => controller.abort(new CRIError(Code.Canceled, "the caller has cancelled or is gone"));
  if (call.cancelled) cancel();
  else call.on("cancelled", cancel);
  return { signal: controller.signal, over: () => void call.off("cancelled", cancel) };
}

function drained(call: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  call.once("drain", done);
  signal.addEventListener("abort", done, { once: true });
  return promise.finally(() => {
    call.off("drain", done);
    signal.removeEventListener("abort", done); // a stream of events lives for months
  });
}

function addUpload(server: Server, path: string, upload: Upload): void {
  const plain = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  server.addService(
    {
      upload: {
        path,
        requestStream: true,
        responseStream: false,
        requestSerialize: plain,
        requestDeserialize: plain,
        responseSerialize: plain,
        responseDeserialize: plain,
      },
    },
    {
      upload: (call: ServerReadableStream<Uint8Array, Uint8Array>, callback: sendUnaryData<Uint8Array>) => {
        upload(call, { signal: abortWith(call).signal }).then(
          (answer) => callback(null, answer),
          (error: unknown) => callback(serviceError(error)),
        );
      },
    },
  );
}

function codeOf(error: unknown): Code {
  return error instanceof CRIError ? error.code : Code.Unknown;
}

function serviceError(error: unknown) {
  const { message } = bounded(error);
  return Object.assign(new Error(message), { code: codeOf(error), details: message });
}
