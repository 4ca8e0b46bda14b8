import { Code, CRIError, rpcErrorText } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { containerConfig } from "./container-config.ts";
import type { WaitingReason } from "./container-status.ts";
import { runHook } from "./hooks.ts";
import { ImageError, type PulledImage } from "./images.ts";
import { maxGrace } from "./labels.ts";
import type { BoundPod, PodContainer } from "./pod.ts";
import type { SandboxConfig } from "./sandbox-config.ts";
import { ContainerConfigError } from "./security.ts";
import type { ViewContainer } from "./view.ts";
import { involved } from "./worker-events.ts";

/** The least a container gets between SIGTERM and SIGKILL after its preStop hook, seconds. */
const leastGrace = 2;

/** A container could not be started; `waiting` is what its status shows. */
export class StartError extends Error {
  override readonly name = "StartError";
  readonly waiting: WaitingReason;
  /** Milliseconds until it is worth trying again. */
  readonly retryAfter: number;

  constructor(waiting: WaitingReason, options: ErrorOptions & { retryAfter: number }) {
    super(waiting.message ?? waiting.reason, options);
    this.waiting = waiting;
    this.retryAfter = options.retryAfter;
  }
}

export interface StartInputs {
  sandboxId: string;
  sandboxConfig: SandboxConfig;
  podIPs: string[];
  attempt: number;
  volumes: Map<string, string>;
  image: Promise<PulledImage>;
  targetId?: string | undefined;
  signal: AbortSignal;
}

/** How long after a failed start it is tried again, milliseconds; the second is for a runtime that was not there. */
const retryAfter = 10_000;
const retryAfterAbsence = 1000;

/**
 * Creates and starts one container, then runs its postStart hook. Resolves with its id.
 *
 * Throws StartError when it cannot be; the signal's reason on abort.
 */
export async function startContainer(
  context: Pick<KubeletContext, "runtime" | "events" | "settings" | "folders" | "client" | "facts">,
  pod: BoundPod,
  what: PodContainer,
  inputs: StartInputs,
): Promise<string> {
  const { runtime, events } = context;
  const { container } = what;
  const { signal } = inputs;
  const event = (type: "Normal" | "Warning", reason: string, message: string) =>
    events.record(involved(pod, container.name), type, reason, message);
  const fail = (reason: string, cause: unknown): StartError => {
    signal.throwIfAborted();
    const message = cause instanceof ContainerConfigError ? cause.message : rpcErrorText(cause);
    event("Warning", "Failed", `Error: ${message}`);
    const absent = cause instanceof CRIError && cause.code === Code.Unavailable;
    return new StartError({ reason, message }, { cause, retryAfter: absent ? retryAfterAbsence : retryAfter });
  };

  let image: PulledImage;
  try {
    image = await inputs.image;
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof ImageError)) throw fail("ImageInspectError", cause);
    throw new StartError({ reason: cause.reason, message: cause.message }, { cause, retryAfter: cause.retryAfter });
  }
  const config = await containerConfig(context, pod, what, { ...inputs, image }).catch((cause: unknown) => {
    throw fail("CreateContainerConfigError", cause);
  });
  const request = { podSandboxId: inputs.sandboxId, config, sandboxConfig: inputs.sandboxConfig };
  const { containerId } = await runtime.createContainer(request, { signal }).catch((cause: unknown) => {
    throw fail("CreateContainerError", cause);
  });
  event("Normal", "Created", `Created container: ${container.name}`);
  await runtime.startContainer({ containerId }, { signal }).catch((cause: unknown) => {
    throw fail("RunContainerError", cause);
  });
  event("Normal", "Started", `Started container ${container.name}`);

  const hook = container.lifecycle?.postStart;
  if (hook) {
    const target = { containerId, container, podIP: inputs.podIPs[0] ?? "" };
    await runHook({ runtime }, hook, target, { timeoutMs: 10 * 60_000, signal }).catch(async (cause: unknown) => {
      signal.throwIfAborted();
      event("Warning", "FailedPostStartHook", cause instanceof Error ? cause.message : String(cause));
      event("Normal", "Killing", "FailedPostStartHook");
      await runtime.stopContainer({ containerId, timeout: BigInt(leastGrace) }, { signal });
      throw new StartError({ reason: "PostStartHookError", message: "PostStartHookError" }, { cause, retryAfter: 0 });
    });
  }
  return containerId;
}

export interface KillInputs {
  message: string;
  /** Seconds. */
  grace: number;
  podIP: string;
  signal: AbortSignal;
}

/** Runs the preStop hook, then has the runtime stop the container: SIGTERM, the rest of the grace, SIGKILL. */
export async function killContainer(
  { runtime, events, now }: Pick<KubeletContext, "runtime" | "events" | "now">,
  pod: BoundPod,
  { name, target, what }: { name: string; target: ViewContainer; what: PodContainer | undefined },
  { message, grace, podIP, signal }: KillInputs,
): Promise<void> {
  const containerId = target.status.id;
  events.record(involved(pod, name), "Normal", "Killing", message);
  const seconds = Math.min(grace, maxGrace);
  let left = seconds;
  const hook = what?.container.lifecycle?.preStop;
  if (hook && what) {
    const started = now();
    const timeoutMs = seconds * 1000;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    await runHook(
      { runtime },
      hook,
      { containerId, container: what.container, podIP },
      { timeoutMs, signal: limit },
    ).catch((error: unknown) => {
      signal.throwIfAborted();
      const text = error instanceof Error ? error.message : String(error);
      events.record(involved(pod, name), "Warning", "FailedPreStopHook", text);
    });
    left = Math.max(leastGrace, Math.ceil(seconds - (now() - started) / 1000));
  }
  await runtime.stopContainer({ containerId, timeout: BigInt(left) }, { signal });
}
