// One worker per pod: it brings what the runtime has to what the pod asks for, and tells the API server how it is.
import { setTimeout as delay } from "node:timers/promises";
import { type PodStatus, StatusError } from "@hawser/api";
import { rpcErrorText } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { PodProbes } from "../probes/pod-probes.ts";
import { VolumeError } from "../volumes/plugin.ts";
import { killContainer } from "./container-operations.ts";
import type { ImagePuller } from "./images.ts";
import { gracePeriod } from "./labels.ts";
import { podLogFolder } from "./paths.ts";
import { type Kill, plan } from "./plan.ts";
import { type BoundPod, type PodContainer, podContainers, podText, whatCounts } from "./pod.ts";
import { removePodFiles, setUpPod, writeHosts } from "./pod-files.ts";
import { runtimeHandler } from "./runtime-class.ts";
import { sandboxConfig } from "./sandbox-config.ts";
import { ContainerStarter } from "./starter.ts";
import { podStatus } from "./status.ts";
import { StatusPusher } from "./status-pusher.ts";
import { stopContainers } from "./stop-containers.ts";
import { terminationMessages } from "./termination-message.ts";
import { emptyView, isRunning, type PodView, readPodView, readySandbox, sandboxIPs } from "./view.ts";
import { involved } from "./worker-events.ts";

/** First and longest pause after a failed round, milliseconds. */
const firstPause = 500;
const longestPause = 30_000;
/** How long after its sandbox a container is waited for before the pod's status is told, milliseconds. */
const startTogether = 200;

export interface WorkerDeps {
  context: KubeletContext;
  puller: ImagePuller;
  /** The runtime surely has nothing of this pod yet. */
  fresh: boolean;
  /** The worker has ended: nothing is left of the pod on this node. */
  onEnd: () => void;
}

export class PodWorker implements AsyncDisposable {
  readonly #context: KubeletContext;
  readonly #puller: ImagePuller;
  readonly #onEnd: () => void;
  readonly #status: StatusPusher;
  readonly #probes: PodProbes;
  readonly #starter: ContainerStarter;
  readonly #acceptedAt: number;
  /** Ends the worker itself; the pod stays as it is. */
  readonly #stop = new AbortController();
  /** Ends what brings the pod up; pulled when the pod has to go. */
  readonly #bringUp = new AbortController();
  readonly #stopping = new Map<string, Promise<void>>();
  #messages = new Map<string, string>();
  readonly #done: Promise<void>;

  #pod: BoundPod;
  #view: PodView = emptyView;
  #fresh: boolean;
  #volumes: Map<string, string> | undefined;
  #failure: { reason: string; message: string } | undefined;
  /** The pod has run its course: nothing of it starts any more. */
  #over: boolean;
  #removed = false;
  #terminating = false;
  #ended = false;
  #awake = Promise.withResolvers<void>();
  #graceChanged = Promise.withResolvers<void>();

  constructor({ context, puller, fresh, onEnd }: WorkerDeps, pod: BoundPod) {
    this.#context = context;
    this.#puller = puller;
    this.#fresh = fresh;
    this.#onEnd = onEnd;
    this.#pod = pod;
    this.#acceptedAt = context.now();
    this.#status = new StatusPusher(context, pod);
    const { signal } = this.#bringUp;
    this.#starter = new ContainerStarter({ context, puller, signal, onSettled: () => this.wake() });
    this.#probes = new PodProbes({
      runtime: context.runtime,
      log: context.log,
      now: context.now,
      onChange: () => this.wake(),
      onFailure: (name, message) => this.#event("Warning", "Unhealthy", message, name),
    });
    this.#over = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    this.#done = this.#run();
  }

  get pod(): BoundPod {
    return this.#pod;
  }

  /** What the runtime had of the pod when last asked. */
  get view(): PodView {
    return this.#view;
  }

  /** The newest status computed. */
  get status(): PodStatus | undefined {
    return this.#status.latest;
  }

  /** Nothing is left of the pod here. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The API server has a newer version of the pod. */
  update(pod: BoundPod): void {
    const before = gracePeriod(this.#pod);
    const wasGoing = this.#going;
    const newer = whatCounts(pod) !== whatCounts(this.#pod);
    this.#pod = pod;
    if (this.#going) this.#bringUp.abort(new Error("the pod is deleted"));
    if (wasGoing && gracePeriod(pod) < before) this.#shorten();
    if (newer) this.wake(); // most updates are the echo of the status we sent
  }

  /** The API server has the pod no more: what is left of it has to go. */
  remove(): void {
    this.#removed = true;
    this.#bringUp.abort(new Error("the pod is deleted"));
    this.#shorten();
    this.wake();
  }

  /** Something may have changed: looks at once, or right after the round that is under way. */
  wake(): void {
    this.#awake.resolve();
  }

  /** Ends the worker; containers go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the kubelet stops"));
    this.#bringUp.abort(this.#stop.signal.reason);
    this.wake();
    await this.#done;
  }

  get #going(): boolean {
    return this.#removed || this.#pod.metadata.deletionTimestamp !== undefined;
  }

  #shorten(): void {
    const before = this.#graceChanged;
    this.#graceChanged = Promise.withResolvers<void>();
    before.resolve();
  }

  async #run(): Promise<void> {
    const { settings, log, now } = this.#context;
    let pause = firstPause;
    if (this.#going) this.#bringUp.abort(new Error("the pod is deleted"));
    while (!this.#stop.signal.aborted && !this.#ended) {
      this.#awake = Promise.withResolvers<void>();
      let wait = settings.syncFrequency;
      try {
        if (this.#going) await this.#terminate();
        else await this.#sync();
        if (this.#ended) break;
        if (this.#going && !this.#terminating) continue; // deleted meanwhile
        const due = Math.min(this.#starter.nextRetry, this.#deadline()) - now();
        wait = Math.max(0, Math.min(wait, due));
        pause = firstPause;
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        if (this.#going && !this.#terminating) continue; // the pod has to go: look again at once
        if (!(error instanceof VolumeError)) log.warn("pod worker", { pod: podText(this.#pod), error });
        wait = pause;
        pause = Math.min(pause * 2, longestPause);
      }
      const timer = new AbortController();
      const pausing = delay(wait, undefined, { signal: timer.signal }).catch(() => undefined);
      await Promise.race([this.#awake.promise, pausing]);
      timer.abort();
    }
    await Promise.allSettled([this.#starter.settled(), ...this.#stopping.values()]);
    this.#probes[Symbol.dispose]();
    this.#status[Symbol.dispose]();
    if (this.#ended) this.#onEnd();
  }

  // ---- bringing the pod up

  async #sync(): Promise<void> {
    if (this.#fresh) {
      this.#fresh = false;
      this.#publish();
    } else await this.#look();
    if (this.#over) return this.#finish();
    if (this.#deadline() <= this.#context.now()) return this.#expire();
    await this.#setUp();
    const next = plan(this.#pod, this.#view, this.#probes);
    if (next.type === "finish") return this.#finish();
    if (next.type === "sandbox") {
      await this.#newSandbox(next.attempt);
      // What comes first starts without another look. One that starts at once is told of together with the sandbox;
      // one that pulls its image is not waited for.
      this.#startAll();
      await this.#starter.settled(startTogether);
      return this.#sync();
    }
    for (const kill of next.kill) this.#kill(kill);
    this.#startAll();
    this.#publish();
  }

  #startAll(): void {
    const next = plan(this.#pod, this.#view, this.#probes);
    if (next.type !== "containers") return;
    const context = { view: this.#view, volumes: this.#volumes ?? new Map(), podIPs: this.#podIPs() };
    for (const start of next.start) this.#starter.start(this.#pod, start, context);
  }

  /** Asks the runtime what it has of the pod, and has the probes follow. */
  async #look(): Promise<void> {
    const { runtime, folders } = this.#context;
    this.#awake = Promise.withResolvers<void>(); // whatever has happened so far, this look sees
    const options = { known: this.#view, signal: this.#stop.signal };
    this.#view = await readPodView({ runtime }, this.#pod.metadata.uid, options);
    const podIP = this.#podIPs()[0] ?? "";
    const running = [...this.#view.containers].flatMap(([name, [current]]) => {
      const what = this.#containerOf(name);
      if (!isRunning(current) || !what) return [];
      const startedAt = Number(current.status.startedAt / 1_000_000n);
      return [{ id: current.status.id, container: what.container, startedAt, podIP }];
    });
    this.#probes.track(running);

    const containers = new Map(podContainers(this.#pod).map(({ container }) => [container.name, container]));
    const logFolder = podLogFolder(folders, this.#pod);
    this.#messages = await terminationMessages(this.#view, { containers, logFolder, known: this.#messages });
  }

  async #setUp(): Promise<void> {
    if (this.#volumes) return;
    this.#context.log.at(2, "pod accepted", { pod: podText(this.#pod) });
    try {
      this.#volumes = await setUpPod(this.#context, this.#pod);
    } catch (error) {
      this.#event("Warning", "FailedMount", error instanceof Error ? error.message : String(error));
      this.#publish();
      throw error;
    }
    const known = this.#podIPs();
    if (known.length > 0) await writeHosts(this.#context, this.#pod, known);
  }

  async #newSandbox(attempt: number): Promise<void> {
    const { runtime } = this.#context;
    const { signal } = this.#bringUp;
    const [old] = this.#view.sandboxes;
    if (old) {
      this.#event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
      await this.#stopContainers();
      await runtime.stopPodSandbox({ podSandboxId: old.id }, { signal });
    }
    this.#starter.prefetch(this.#pod);
    const config = sandboxConfig(this.#context, this.#pod, attempt);
    try {
      const handler = await runtimeHandler(this.#context, this.#pod);
      const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler: handler }, { signal });
      const { status } = await runtime.podSandboxStatus({ podSandboxId }, { signal });
      if (status) this.#view = { ...this.#view, sandboxes: [status, ...this.#view.sandboxes] };
    } catch (cause) {
      signal.throwIfAborted();
      const message = `Failed to create pod sandbox: ${rpcErrorText(cause)}`;
      this.#event("Warning", "FailedCreatePodSandBox", message);
      this.#publish();
      throw new Error(message, { cause });
    }
    await writeHosts(this.#context, this.#pod, this.#podIPs());
  }

  #kill({ container, name, message }: Kill): void {
    const { id } = container.status;
    if (this.#stopping.has(id)) return;
    const { signal } = this.#bringUp;
    const what = this.#containerOf(name);
    const probe = what?.container.livenessProbe ?? what?.container.startupProbe;
    const grace = probe?.terminationGracePeriodSeconds ?? gracePeriod(this.#pod);
    const inputs = { message, grace, podIP: this.#podIPs()[0] ?? "", signal };
    const killed = killContainer(this.#context, this.#pod, { name, target: container, what }, inputs)
      .catch((error: unknown) => {
        const fields = { pod: podText(this.#pod), container: name, error };
        if (!signal.aborted) this.#context.log.warn("container stop", fields);
      })
      .finally(() => {
        this.#stopping.delete(id);
        this.wake();
      });
    this.#stopping.set(id, killed);
  }

  // ---- ending it

  /** When activeDeadlineSeconds are over, milliseconds since 1970. */
  #deadline(): number {
    const seconds = this.#pod.spec.activeDeadlineSeconds;
    if (seconds === undefined || this.#over || this.#going) return Number.POSITIVE_INFINITY;
    const started = this.#status.latest?.startTime;
    return (started ? Date.parse(started) : this.#acceptedAt) + seconds * 1000;
  }

  async #expire(): Promise<void> {
    const message = "Pod was active on the node longer than the specified deadline";
    this.#failure = { reason: "DeadlineExceeded", message };
    this.#event("Normal", "DeadlineExceeded", message);
    this.#bringUp.abort(new Error(message));
    await this.#finish();
  }

  /** The pod has run its course: its status says how, then what is left stops. Containers stay, for their logs. */
  async #finish(): Promise<void> {
    this.#over = true;
    this.#publish();
    this.#probes.freeze();
    await this.#stopContainers();
    const ready = readySandbox(this.#view);
    if (!ready) return;
    await this.#context.runtime.stopPodSandbox({ podSandboxId: ready.id }, { signal: this.#stop.signal });
    await this.#look();
    this.#publish();
  }

  /** SIGTERM, grace, SIGKILL to all that runs; a grace shortened meanwhile counts. */
  async #stopContainers(): Promise<void> {
    const options = {
      grace: () => gracePeriod(this.#pod),
      graceChanged: () => this.#graceChanged.promise,
      podIP: this.#podIPs()[0] ?? "",
      signal: this.#stop.signal,
    };
    await stopContainers(this.#context, this.#pod, this.#view, options);
  }

  /** The pod is deleted: stops it, tells how it ended, removes all of it, and confirms. */
  async #terminate(): Promise<void> {
    this.#terminating = true;
    const { runtime, log, client } = this.#context;
    const { signal } = this.#stop;
    const { uid, namespace, name } = this.#pod.metadata;
    this.#probes.freeze();
    await Promise.allSettled([this.#starter.settled(), ...this.#stopping.values()]);
    await this.#look();
    await this.#stopContainers();
    for (const { id } of this.#view.sandboxes) await runtime.stopPodSandbox({ podSandboxId: id }, { signal });
    await this.#look();
    this.#over = true;
    this.#publish();
    await this.#status.flush();
    for (const { id } of this.#view.sandboxes) await runtime.removePodSandbox({ podSandboxId: id }, { signal });
    this.#puller.forget(uid);
    await removePodFiles(this.#context, this.#pod);
    if (!this.#removed) {
      const options = { gracePeriodSeconds: 0, preconditions: { uid }, signal };
      await client.delete({ resource: "pods", namespace, name }, options).catch((error: unknown) => {
        // Gone already, or replaced by another pod of that name: both are what we want.
        if (!(error instanceof StatusError) || (error.code !== 404 && error.code !== 409)) throw error;
      });
    }
    log.at(2, "pod is gone", { pod: podText(this.#pod) });
    this.#ended = true;
  }

  // ---- telling

  #publish(): void {
    const { now, nodeIP, runtimeName } = this.#context;
    if (this.#removed) return;
    const inputs = {
      runtimeName,
      waiting: this.#starter.waiting,
      messages: this.#messages,
      isReady: (id: string) => this.#probes.isReady(id),
      startupPassed: (id: string) => this.#probes.startupPassed(id),
      ending: this.#over,
      nodeIP,
      acceptedAt: this.#acceptedAt,
      now: now(),
      previous: this.#status.latest,
      failure: this.#failure,
    };
    this.#status.set(podStatus(this.#pod, this.#view, inputs));
  }

  #event(type: "Normal" | "Warning", reason: string, message: string, container?: string): void {
    this.#context.events.record(involved(this.#pod, container), type, reason, message);
  }

  #podIPs(): string[] {
    return this.#pod.spec.hostNetwork ? [this.#context.nodeIP] : sandboxIPs(this.#view.sandboxes[0]);
  }

  #containerOf(name: string): PodContainer | undefined {
    return podContainers(this.#pod).find(({ container }) => container.name === name);
  }
}
