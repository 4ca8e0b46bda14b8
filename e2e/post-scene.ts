// What the post's observations have in common: the lab, the clients, and a session as the post opens it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { eventually, type Kubectl, kubectls, type ProcessRow, processes } from "@hawser/testing";
import type { PostLab, Session } from "./post-lab.ts";

export const pod = "exec-test-nginx";

export interface PostVariant {
  name: string;
  open(): Promise<PostLab>;
  /** What `kubectl get nodes -o wide` shows as CONTAINER-RUNTIME. */
  runtimeVersion: RegExp;
  /** The program above an exec's `sh`. */
  monitor: RegExp;
  /** Whether a command goes with its client. Ours does; containerd 1.6 lets it run on. */
  endsWithClient: boolean;
  /** Further observations, once the pod of P1 runs. */
  more?(lab: () => PostLab): void;
}

/** The lab and its clients: there once it has been opened. */
export class Scene implements AsyncDisposable {
  readonly variant: PostVariant;
  #post: PostLab | undefined;
  #kubectls: Kubectl[] = [];
  #container: Promise<string> | undefined;

  constructor(variant: PostVariant) {
    this.variant = variant;
  }

  async open(): Promise<void> {
    this.#kubectls = await kubectls();
    this.#post = await this.variant.open();
  }

  get post(): PostLab {
    assert.ok(this.#post, "the lab is open");
    return this.#post;
  }

  get oldest(): Kubectl {
    const [oldest] = this.#kubectls;
    assert.ok(oldest, "a kubectl is on this machine");
    return oldest;
  }

  get newest(): Kubectl {
    return this.#kubectls.at(-1) ?? this.oldest;
  }

  /** `kubectl exec -it … -- sh`, and in it `sleep 5000`, as the post does. `sleeper` is its process on the worker. */
  async sleepingSession(kubectl: Kubectl): Promise<Session & { sleeper: ProcessRow }> {
    const before = new Set((await this.#sleeps()).map(({ pid }) => pid));
    await using stack = new AsyncDisposableStack();
    const session = stack.use(await this.post.interactive(["exec", "-it", pod, "--", "sh"], { kubectl }));
    await session.terminal.saw("# ");
    session.terminal.write("sleep 5000\n");
    const sleeper = await eventually("sleep 5000 runs in the foreground", async () =>
      (await this.#sleeps()).find(({ pid, pgid, tpgid }) => !before.has(pid) && tpgid === pgid),
    );
    stack.move(); // the session is its caller's
    return { ...session, sleeper };
  }

  /** Waits until a sleeper is gone. */
  async goes({ pid }: ProcessRow): Promise<void> {
    await eventually("sleep 5000 goes", async () => !(await this.#sleeps()).some((row) => row.pid === pid));
  }

  /** The processes `sleep 5000` in the pod's container: other tests have some of their own. */
  async #sleeps(): Promise<ProcessRow[]> {
    const path = "jsonpath={.status.containerStatuses[0].containerID}";
    this.#container ??= this.post.mustKubectl(["get", "pod", pod, "-o", path]);
    const [, id = ""] = (await this.#container).split("://");
    assert.match(id, /^[0-9a-f]{64}$/);
    const all = (await processes()).filter(({ args }) => args === "sleep 5000");
    const groups = await Promise.all(all.map(({ pid }) => readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "")));
    return all.filter((_, index) => groups[index]?.includes(id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#post?.[Symbol.asyncDispose]();
  }
}
