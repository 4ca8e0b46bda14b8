// One worker per pod: it brings what the runtime has to what the pod asks for, and tells the API server how it is.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type PodStatus, StatusError } from "@hawser/api";
import { rpcErrorText } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { PodProbes } from "../probes/pod-probes.ts";
import { VolumeError } from "../volumes/plugin.ts";
import { removePodFolder, setUpVolumes } from "../volumes/volumes.ts";
import { BackOff, durationText } from "./back-off.ts";
import { removePodCgroup } from "./cgroup.ts";
import { killContainer, StartError, startContainer } from "./container-operations.ts";
import type { WaitingReason } from "./container-status.ts";
import { hostsFile } from "./hosts-file.ts";
import type { ImagePuller, PulledImage } from "./images.ts";
import { gracePeriod } from "./labels.ts";
import { containerLogPath, etcHostsFile, podFolder, podLogFolder } from "./paths.ts";
import { type Kill, plan, type Start } from "./plan.ts";
import { type BoundPod, type PodContainer, podContainers, podText } from "./pod.ts";
import { podDomain, podHostname, sandboxConfig } from "./sandbox-config.ts";
import { podStatus } from "./status.ts";
import { StatusPusher } from "./status-pusher.ts";
import { terminationMessage } from "./termination-message.ts";
import {
  attemptOf,
  emptyView,
  isExited,
  isRunning,
  type PodView,
  readPodView,
  readySandbox,
  sandboxIPs,
  type ViewContainer,
} from "./view.ts";
import { involved } from "./worker-events.ts";

/** First and longest pause after a failed round, milliseconds. */
const firstPause = 500;
const longestPause = 30_000;
/** How long after its sandbox a container is waited for before the pod's status is told, milliseconds. */
const startTogether = 200;
/** Ended starts of a container that are kept beside the current one: the last one's log can still be read. */
const keptDead = 1;

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
  readonly #backOff: BackOff;
  readonly #acceptedAt: number;
  /** Ends the worker itself; the pod stays as it is. */
  readonly #stop = new AbortController();
  /** Ends what brings the pod up; pulled when the pod has to go. */
  readonly #bringUp: AbortController;
  readonly #starting = new Map<string, Promise<void>>();
  readonly #stopping = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, WaitingReason>();
  readonly #retryAt = new Map<string, number>();
  readonly #messages = new Map<string, string>();
  readonly #done: Promise<void>;

  #pod: BoundPod;
  #view: PodView = emptyView;
  #fresh: boolean;
  #volumes: Map<string, string> | undefined;
  #sandboxAttempt = 0;
  #failure: { reason: string; message: string } | undefined;
  #over = false;
  #removed = false;
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
    this.#backOff = new BackOff(context.now);
    this.#bringUp = new AbortController();
    this.#probes = new PodProbes({
      runtime: context.runtime,
      log: context.log,
      now: context.now,
      onChange: () => this.wake(),
      onFailure: (name, message) => context.events.record(involved(this.#pod, name), "Warning", "Unhealthy", message),
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
    this.#pod = pod;
    if (this.#going) this.#bringUp.abort(new Error("the pod is deleted"));
    if (wasGoing && gracePeriod(pod) < before) this.#shorten();
    this.wake();
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
    let pause = firstPause;
    if (this.#going) this.#bringUp.abort(new Error("the pod is deleted"));
    while (!this.#stop.signal.aborted && !this.#ended) {
      this.#awake = Promise.withResolvers<void>();
      let wait = this.#context.settings.syncFrequency;
      try {
        if (this.#going) await this.#terminate();
        else await this.#sync();
        wait = Math.min(wait, this.#nextRetry());
        pause = firstPause;
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        if (this.#going && !this.#terminating) continue; // the pod has to go: look again at once
        if (!(error instanceof VolumeError)) this.#context.log.warn("pod worker", { pod: podText(this.#pod), error });
        wait = pause;
        pause = Math.min(pause * 2, longestPause);
      }
      if (this.#ended) break;
      const timer = new AbortController();
      await Promise.race([
        this.#awake.promise,
        delay(wait, undefined, { signal: timer.signal }).catch(() => undefined),
      ]);
      timer.abort();
    }
    await Promise.allSettled([...this.#starting.values(), ...this.#stopping.values()]);
    this.#probes[Symbol.dispose]();
    this.#status[Symbol.dispose]();
    if (this.#ended) this.#onEnd();
  }

  #terminating = false;

  #nextRetry(): number {
    const times = [...this.#retryAt.values(), this.#deadline()].map((at) => Math.max(0, at - this.#context.now()));
    return Math.min(...times, Number.MAX_SAFE_INTEGER);
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
      return this.#sync();
    }
    for (const kill of next.kill) this.#kill(kill);
    for (const start of next.start) this.#start(start);
    this.#publish();
  }

  /** Asks the runtime what it has of the pod, and has the probes follow. */
  async #look(): Promise<void> {
    const { runtime } = this.#context;
    this.#view = await readPodView({ runtime }, this.#pod.metadata.uid, {
      known: this.#view,
      signal: this.#stop.signal,
    });
    const podIP = this.#podIPs()[0] ?? "";
    const running = [...this.#view.containers].flatMap(([name, [current]]) => {
      const what = this.#containerOf(name);
      if (!isRunning(current) || !what) return [];
      const startedAt = Number(current.status.startedAt / 1_000_000n);
      return [{ id: current.status.id, container: what.container, startedAt, podIP }];
    });
    this.#probes.track(running);
    for (const [name, list] of this.#view.containers) {
      for (const container of list.slice(0, 1 + keptDead)) {
        const { id } = container.status;
        if (!isExited(container) || this.#messages.has(id)) continue;
        const logFile = path.join(
          podLogFolder(this.#context.folders, this.#pod),
          containerLogPath(name, attemptOf(container)),
        );
        const message = await terminationMessage(container, { container: this.#containerOf(name)?.container, logFile });
        this.#messages.set(id, message);
      }
    }
  }

  async #setUp(): Promise<void> {
    const { folders, log } = this.#context;
    if (this.#volumes) return;
    log.at(2, "pod accepted", { pod: podText(this.#pod) });
    await mkdir(podFolder(folders, this.#pod.metadata.uid), { recursive: true, mode: 0o750 });
    await mkdir(podLogFolder(folders, this.#pod), { recursive: true, mode: 0o755 });
    const facts = { ...this.#context.facts, podIPs: [] };
    try {
      this.#volumes = await setUpVolumes({ ...this.#context, facts }, this.#pod);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#context.events.record(involved(this.#pod), "Warning", "FailedMount", message);
      this.#publish();
      throw error;
    }
    const stale = this.#podIPs();
    if (stale.length > 0) await this.#writeHosts(stale);
  }

  async #newSandbox(attempt: number): Promise<void> {
    const { runtime, events } = this.#context;
    const { signal } = this.#bringUp;
    const [old] = this.#view.sandboxes;
    if (old) {
      events.record(
        involved(this.#pod),
        "Normal",
        "SandboxChanged",
        "Pod sandbox changed, it will be killed and re-created.",
      );
      await this.#stopContainers(gracePeriod(this.#pod));
      await runtime.stopPodSandbox({ podSandboxId: old.id }, { signal });
    }
    this.#prefetch();
    const config = sandboxConfig(this.#context, this.#pod, attempt);
    try {
      const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler: "" }, { signal });
      const { status } = await runtime.podSandboxStatus({ podSandboxId }, { signal });
      if (status) this.#view = { ...this.#view, sandboxes: [status, ...this.#view.sandboxes] };
    } catch (cause) {
      signal.throwIfAborted();
      const message = `Failed to create pod sandbox: ${rpcErrorText(cause)}`;
      events.record(involved(this.#pod), "Warning", "FailedCreatePodSandBox", message);
      this.#publish();
      throw new Error(message, { cause });
    }
    this.#sandboxAttempt = attempt;
    await this.#writeHosts(this.#podIPs());
    await this.#startAll();
  }

  /** Right after a new sandbox: what comes first is started without another look. */
  async #startAll(): Promise<void> {
    const next = plan(this.#pod, this.#view, this.#probes);
    if (next.type !== "containers") return;
    for (const start of next.start) this.#start(start);
    // One that starts at once is told of together with the sandbox; one that pulls its image is not waited for.
    const settled = Promise.allSettled(this.#starting.values());
    await Promise.race([settled, delay(startTogether, undefined, { signal: this.#stop.signal })]);
  }

  readonly #images = new Map<string, Promise<PulledImage>>();

  /** Looks for the images of what starts first while the sandbox comes up. */
  #prefetch(): void {
    const [first, ...more] = podContainers(this.#pod);
    const firsts =
      first?.kind === "regular" ? [first, ...more].filter(({ kind }) => kind === "regular") : first ? [first] : [];
    for (const { container } of firsts) {
      if (this.#images.has(container.name) || (this.#retryAt.get(container.name) ?? 0) > this.#context.now()) continue;
      const image = this.#puller.ensure(this.#pod, container, this.#bringUp.signal);
      image.catch(() => undefined); // the start that takes it reports it
      this.#images.set(container.name, image);
    }
  }

  #start({ what, attempt, after }: Start): void {
    const { name } = what.container;
    const { now, runtime, events, log } = this.#context;
    const sandbox = readySandbox(this.#view);
    if (!sandbox || this.#starting.has(name) || (this.#retryAt.get(name) ?? 0) > now()) return;
    if (after && this.#backsOff(what, after)) return;
    this.#retryAt.delete(name);
    const { signal } = this.#bringUp;
    const image = this.#images.get(name) ?? this.#puller.ensure(this.#pod, what.container, signal);
    this.#images.delete(name);
    const target = what.target ? this.#view.containers.get(what.target)?.[0] : undefined;
    const inputs = {
      sandboxId: sandbox.id,
      sandboxConfig: sandboxConfig(this.#context, this.#pod, this.#sandboxAttempt),
      podIPs: this.#podIPs(),
      attempt,
      volumes: this.#volumes ?? new Map(),
      image,
      ...(target && { targetId: target.status.id }),
      signal,
    };
    const run = async () => {
      try {
        await startContainer(this.#context, this.#pod, what, inputs);
        this.#waiting.delete(name);
        for (const { status } of (this.#view.containers.get(name) ?? []).slice(keptDead)) {
          await runtime.removeContainer({ containerId: status.id }, { signal });
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof StartError) {
          this.#waiting.set(name, error.waiting);
          this.#retryAt.set(name, now() + error.retryAfter);
          return;
        }
        log.warn("container start", { pod: podText(this.#pod), container: name, error });
        events.record(involved(this.#pod, name), "Warning", "Failed", `Error: ${rpcErrorText(error)}`);
        this.#retryAt.set(name, now() + 10_000);
      } finally {
        this.#starting.delete(name);
        this.wake();
      }
    };
    this.#starting.set(name, run());
  }

  /** True while the container has to wait before it starts again; says so in its status. */
  #backsOff({ container }: PodContainer, after: ViewContainer): boolean {
    const { now, events } = this.#context;
    const { name } = container;
    const { finishedAt, createdAt } = after.status;
    const endedAt = Number((finishedAt > 0n ? finishedAt : createdAt) / 1_000_000n);
    const wait = this.#backOff.remaining(name, endedAt);
    if (wait <= 0) {
      this.#backOff.next(name, endedAt);
      return false;
    }
    const text = podText(this.#pod);
    events.record(
      involved(this.#pod, name),
      "Warning",
      "BackOff",
      `Back-off restarting failed container ${name} in pod ${text}`,
    );
    const pause = durationText(this.#backOff.pause(name));
    this.#waiting.set(name, {
      reason: "CrashLoopBackOff",
      message: `back-off ${pause} restarting failed container=${name} pod=${text}`,
    });
    this.#retryAt.set(name, now() + wait);
    return true;
  }

  #kill({ container, name, message }: Kill): void {
    const { id } = container.status;
    if (this.#stopping.has(id)) return;
    const what = this.#containerOf(name);
    const probe = what?.container.livenessProbe ?? what?.container.startupProbe;
    const grace = probe?.terminationGracePeriodSeconds ?? gracePeriod(this.#pod);
    const inputs = { message, grace, podIP: this.#podIPs()[0] ?? "", signal: this.#bringUp.signal };
    const killed = killContainer(this.#context, this.#pod, { name, target: container, what }, inputs)
      .catch((error: unknown) => {
        if (!this.#bringUp.signal.aborted)
          this.#context.log.warn("container stop", { pod: podText(this.#pod), container: name, error });
      })
      .finally(() => {
        this.#stopping.delete(id);
        this.wake();
      });
    this.#stopping.set(id, killed);
  }

  // ---- ending it

  #deadline(): number {
    const seconds = this.#pod.spec.activeDeadlineSeconds;
    if (seconds === undefined || this.#over || this.#going) return Number.POSITIVE_INFINITY;
    const started = this.#status.latest?.startTime;
    return (started ? Date.parse(started) : this.#acceptedAt) + seconds * 1000;
  }

  async #expire(): Promise<void> {
    const message = "Pod was active on the node longer than the specified deadline";
    this.#failure = { reason: "DeadlineExceeded", message };
    this.#context.events.record(involved(this.#pod), "Normal", "DeadlineExceeded", message);
    this.#bringUp.abort(new Error(message));
    await this.#finish();
  }

  /** The pod has run its course: its status says how, then what is left stops. Containers stay, for their logs. */
  async #finish(): Promise<void> {
    this.#over = true;
    this.#publish();
    this.#probes.freeze();
    await this.#stopContainers(gracePeriod(this.#pod));
    const ready = readySandbox(this.#view);
    if (!ready) return;
    await this.#context.runtime.stopPodSandbox({ podSandboxId: ready.id }, { signal: this.#stop.signal });
    await this.#look();
    this.#publish();
  }

  /** SIGTERM, grace, SIGKILL to all that runs; a grace shortened meanwhile counts. Sidecars go last. */
  async #stopContainers(grace: number): Promise<void> {
    const signal = this.#stop.signal;
    const running = [...this.#view.containers].flatMap(([name, list]) =>
      list.filter((one) => isRunning(one)).map((target) => ({ name, target, what: this.#containerOf(name) })),
    );
    const stop = async (one: (typeof running)[number]) => {
      for (let seconds = grace; ; seconds = gracePeriod(this.#pod)) {
        const changed = this.#graceChanged.promise;
        const message = `Stopping container ${one.name}`;
        const killed = killContainer(this.#context, this.#pod, one, {
          message,
          grace: seconds,
          podIP: this.#podIPs()[0] ?? "",
          signal,
        });
        const again = await Promise.race([killed.then(() => false), changed.then(() => true)]);
        if (!again) return;
        killed.catch(() => undefined); // the shorter one reports
      }
    };
    const sidecars = running.filter(({ what }) => what?.kind === "sidecar");
    await Promise.all(running.filter(({ what }) => what?.kind !== "sidecar").map(stop));
    for (const sidecar of sidecars.reverse()) await stop(sidecar);
  }

  async #terminate(): Promise<void> {
    this.#terminating = true;
    const { runtime, log, client } = this.#context;
    const { signal } = this.#stop;
    const { uid, namespace, name } = this.#pod.metadata;
    this.#probes.freeze();
    await Promise.allSettled([...this.#starting.values(), ...this.#stopping.values()]);
    await this.#look();
    await this.#stopContainers(gracePeriod(this.#pod));
    for (const { id } of this.#view.sandboxes) await runtime.stopPodSandbox({ podSandboxId: id }, { signal });
    await this.#look();
    if (!this.#removed) {
      this.#over = true;
      this.#publish();
      await this.#status.flush();
    }
    for (const { id } of this.#view.sandboxes) await runtime.removePodSandbox({ podSandboxId: id }, { signal });
    await this.#cleanUp();
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

  async #cleanUp(): Promise<void> {
    this.#puller.forget(this.#pod.metadata.uid);
    await removePodFolder(this.#context, this.#pod.metadata.uid);
    await rm(podLogFolder(this.#context.folders, this.#pod), { recursive: true, force: true });
    await removePodCgroup(this.#context, this.#pod);
  }

  // ---- telling

  #publish(): void {
    const { now, nodeIP, runtimeName } = this.#context;
    if (this.#removed) return;
    const inputs = {
      runtimeName,
      waiting: this.#waiting,
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

  #podIPs(): string[] {
    return this.#pod.spec.hostNetwork ? [this.#context.nodeIP] : sandboxIPs(this.#view.sandboxes[0]);
  }

  #containerOf(name: string): PodContainer | undefined {
    return podContainers(this.#pod).find(({ container }) => container.name === name);
  }

  async #writeHosts(ips: string[]): Promise<void> {
    const { spec, metadata } = this.#pod;
    const nodeHosts = spec.hostNetwork ? await readFile("/etc/hosts", "utf8").catch(() => "") : "";
    const domain = podDomain(this.#pod, this.#context.dns.clusterDomain);
    const text = hostsFile(spec, { ips, hostname: podHostname(this.#pod), domain, nodeHosts });
    await writeFile(etcHostsFile(this.#context.folders, metadata.uid), text, { mode: 0o644 });
  }
}
