import { orAborted } from "../or-aborted.ts";
import { KeyedLock } from "../store/lock.ts";
import type { SandboxRecord } from "../store/records.ts";

type Member = Pick<SandboxRecord, "id" | "cgroupParent" | "ownsCgroup">;

/**
 * Who is in which pod's cgroup: the sandboxes that are listed, and those in the making. Several may share one: a pod's sandbox is made
 * again before the old one is removed. Nobody enters a cgroup while it is ended, and it is ended when its last sandbox goes.
 */
export class PodCgroups {
  readonly #listed: { list(): readonly Member[] };
  readonly #making = new Map<string, Member>();
  readonly #lock = new KeyedLock();

  constructor(listed: { list(): readonly Member[] }) {
    this.#listed = listed;
  }

  /**
   * To be called before anything of a sandbox is made, and made() when it is listed or given up. Resolves with whether the cgroup
   * is to be ended with its last sandbox: if it is not there, or another's for which that holds. Throws the signal's reason.
   */
  async enter(
    { id, cgroupParent }: Pick<Member, "id" | "cgroupParent">,
    { there, signal }: { there: () => Promise<boolean>; signal: AbortSignal },
  ): Promise<boolean> {
    const entered = this.#lock.run(cgroupParent, async () => {
      signal.throwIfAborted();
      const isThere = await there();
      signal.throwIfAborted(); // else it would stay noted
      const ownsCgroup = !isThere || this.#members(cgroupParent).some((other) => other.ownsCgroup);
      this.#making.set(id, { id, cgroupParent, ownsCgroup });
      return ownsCgroup;
    });
    return await orAborted(entered, signal);
  }

  /** It is listed, or nothing is left of it. */
  made(id: string): void {
    this.#making.delete(id);
  }

  /**
   * Calls `body` for a sandbox that goes, while nobody enters or leaves its cgroup: with true when that is to be ended now, since
   * no other sandbox is in it. One that is listed has to be off the list when the body is done.
   */
  async leave<T>({ id, cgroupParent, ownsCgroup }: Member, body: (last: boolean) => Promise<T>): Promise<T> {
    return await this.#lock.run(cgroupParent, async () => {
      this.#making.delete(id);
      return await body(ownsCgroup && !this.#members(cgroupParent).some((other) => other.id !== id));
    });
  }

  #members(cgroupParent: string): Member[] {
    const all = [...this.#listed.list(), ...this.#making.values()];
    return all.filter((member) => member.cgroupParent === cgroupParent);
  }
}
