import type { Container } from "@hawser/api";
import type { AuthConfigSchema, MessageInitShape } from "@hawser/cri";
import { rpcErrorText } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { orAborted } from "../or-aborted.ts";
import { BackOff } from "./back-off.ts";
import { objectData } from "./environment.ts";
import { type BoundPod, podText } from "./pod.ts";
import { ContainerConfigError } from "./security.ts";
import { involved } from "./worker-events.ts";

export interface PulledImage {
  /** What CreateContainer takes. */
  ref: string;
  /** Whom the image runs as. */
  uid?: bigint | undefined;
  username: string;
}

export type ImageReason =
  | "ErrImagePull"
  | "ImagePullBackOff"
  | "ErrImageNeverPull"
  | "InvalidImageName"
  | "ImageInspectError";

/** No image, and why; `reason` is what the container's waiting state shows. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly reason: ImageReason;
  /** Milliseconds until it is worth trying again. */
  readonly retryAfter: number;

  constructor(reason: ImageReason, message: string, options: ErrorOptions & { retryAfter: number }) {
    super(message, options);
    this.reason = reason;
    this.retryAfter = options.retryAfter;
  }
}

type Auth = MessageInitShape<typeof AuthConfigSchema>;
type Context = Pick<KubeletContext, "images" | "events" | "client" | "now" | "log">;

/** How long after a failed pull the state goes over to ImagePullBackOff, milliseconds. */
const shownFor = 2000;

/** Pulls images as pods ask for them, with back-off; a pull that is under way serves all who want the same. */
export class ImagePuller {
  readonly #context: Context;
  readonly #backOff: BackOff;
  readonly #failures = new Map<string, { at: number; message: string }>();
  readonly #running = new Map<string, Promise<string>>();

  constructor(context: Context) {
    this.#context = context;
    this.#backOff = new BackOff(context.now);
  }

  /** Makes sure of a container's image, by its pull policy. Throws ImageError. */
  async ensure(pod: BoundPod, container: Container, signal: AbortSignal): Promise<PulledImage> {
    const { images, events } = this.#context;
    const reference = container.image ?? "";
    const event = (type: "Normal" | "Warning", reason: string, message: string) =>
      events.record(involved(pod, container.name), type, reason, message);
    if (reference === "" || /\s/.test(reference)) {
      const text = `Failed to apply default image tag "${reference}": couldn't parse image name "${reference}": invalid reference format`;
      event("Warning", "InspectFailed", text);
      throw new ImageError("InvalidImageName", text, { retryAfter: Number.POSITIVE_INFINITY });
    }
    const spec = { image: withTag(reference) };
    const status = () => images.imageStatus({ image: spec }, { signal });
    const present = (await status()).image;
    const policy = pullPolicy(container);
    if (present && policy !== "Always") {
      event("Normal", "Pulled", `Container image "${reference}" already present on machine`);
      return { ref: present.id, uid: present.uid?.value, username: present.username };
    }
    if (policy === "Never") {
      const text = `Container image "${reference}" is not present with pull policy of Never`;
      event("Warning", "ErrImageNeverPull", text);
      throw new ImageError("ErrImageNeverPull", text, { retryAfter: shownFor * 5 });
    }
    const ref = await this.#pull(pod, spec.image, { event, reference, signal });
    const pulled = (await images.imageStatus({ image: { image: ref } }, { signal })).image ?? (await status()).image;
    return { ref, uid: pulled?.uid?.value, username: pulled?.username ?? "" };
  }

  /** A pod is gone: its failures need no longer be known. */
  forget(uid: string): void {
    for (const key of this.#failures.keys()) {
      if (!key.startsWith(`${uid} `)) continue;
      this.#failures.delete(key);
      this.#backOff.forget(key);
    }
  }

  async #pull(
    pod: BoundPod,
    image: string,
    { event, reference, signal }: { event: EventFunction; reference: string; signal: AbortSignal },
  ): Promise<string> {
    const { now } = this.#context;
    const key = `${pod.metadata.uid} ${image}`;
    const failure = this.#failures.get(key);
    const wait = failure ? this.#backOff.remaining(key, failure.at) : 0;
    if (failure && wait > 0) {
      event("Normal", "BackOff", `Back-off pulling image "${reference}"`);
      event("Warning", "Failed", "Error: ImagePullBackOff");
      const text = `Back-off pulling image "${reference}": ErrImagePull: ${failure.message}`;
      throw new ImageError("ImagePullBackOff", text, { retryAfter: wait });
    }
    if (failure) this.#backOff.next(key, failure.at);
    event("Normal", "Pulling", `Pulling image "${reference}"`);
    const started = now();
    try {
      const ref = await this.#shared(pod, image, signal);
      this.#failures.delete(key);
      this.#backOff.forget(key);
      const took = durationText(now() - started);
      event("Normal", "Pulled", `Successfully pulled image "${reference}" in ${took} (${took} including waiting)`);
      return ref;
    } catch (cause) {
      signal.throwIfAborted();
      const message = rpcErrorText(cause);
      if (!failure) this.#backOff.next(key, now());
      this.#failures.set(key, { at: now(), message });
      event("Warning", "Failed", `Failed to pull image "${reference}": ${message}`);
      event("Warning", "Failed", "Error: ErrImagePull");
      throw new ImageError("ErrImagePull", message, { cause, retryAfter: shownFor });
    }
  }

  /** One pull per image and credentials at a time. It goes on when one of those who wait for it gives up. */
  async #shared(pod: BoundPod, image: string, signal: AbortSignal): Promise<string> {
    const auth = await this.#credentials(pod, image);
    const key = JSON.stringify([image, auth]);
    let pull = this.#running.get(key);
    if (!pull) {
      const request = { image: { image }, ...(auth && { auth }) };
      pull = this.#context.images
        .pullImage(request)
        .then(({ imageRef }) => imageRef)
        .finally(() => this.#running.delete(key));
      this.#running.set(key, pull);
    }
    pull.catch(() => undefined); // all who wait may give up before it fails
    return orAborted(pull, signal);
  }

  async #credentials(pod: BoundPod, image: string): Promise<Auth | undefined> {
    const registry = registryOf(image);
    for (const { name } of pod.spec.imagePullSecrets ?? []) {
      if (!name) continue;
      const data = await objectData(this.#context, { kind: "secrets", namespace: pod.metadata.namespace, name });
      const text = data?.[".dockerconfigjson"];
      if (!text) {
        this.#context.log.warn("image pull secret is missing or of another kind", { pod: podText(pod), secret: name });
        continue;
      }
      const found = parseDockerConfig(text.toString())[registry];
      if (found) return found;
    }
    return undefined;
  }
}

type EventFunction = (type: "Normal" | "Warning", reason: string, message: string) => void;

/** `:latest` is meant when neither tag nor digest is given. */
export function withTag(reference: string): string {
  if (reference.includes("@")) return reference;
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  return last.includes(":") ? reference : `${reference}:latest`;
}

/** The pod's word, else Always for `:latest` and IfNotPresent for the rest. */
export function pullPolicy({ image = "", imagePullPolicy }: Container): string {
  if (imagePullPolicy) return imagePullPolicy;
  return withTag(image).endsWith(":latest") ? "Always" : "IfNotPresent";
}

function registryOf(image: string): string {
  const [first = ""] = image.split("/");
  const named = image.includes("/") && (first.includes(".") || first.includes(":") || first === "localhost");
  return named ? first : "docker.io";
}

function parseDockerConfig(text: string): Record<string, Auth> {
  let config: {
    auths?: Record<string, { username?: string; password?: string; auth?: string; identitytoken?: string }>;
  };
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new ContainerConfigError("image pull secret is not JSON", { cause });
  }
  const entries = Object.entries(config.auths ?? {}).map(([server, entry]): [string, Auth] => {
    const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
    const { username = "", password = "", auth = "", identitytoken = "" } = entry;
    return [
      host === "index.docker.io" ? "docker.io" : host,
      { username, password, auth, identityToken: identitytoken, serverAddress: server },
    ];
  });
  return Object.fromEntries(entries);
}

function durationText(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)}ms` : `${(milliseconds / 1000).toFixed(3)}s`;
}
