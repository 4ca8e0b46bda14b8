import { orAborted } from "../or-aborted.ts";
import { KeyedLock } from "../store/lock.ts";
import type { SandboxRecord } from "../store/records.ts";

/** What a pod's cgroup is to us. */
export type CgroupOwnership = Pick<SandboxRecord, "ownsCgroup" | "madeAbove">;

type Member = Pick<SandboxRecord, "id" | "cgroupParent"> & CgroupOwnership;

/**
 * Who is in which pod's cgroup: the sandboxes that are listed, and those in the making. Several may share one: a pod's sandbox is
 * made again before the old one is removed. Nobody enters a cgroup while it is ended, and it is ended when its last sandbox goes.
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
   * is to be ended with its last sandbox: if it is not there, or another's for which that holds; and with what is made above it,
   * by missingAbove(). Throws the signal's reason.
   */
  async enter(
    { id, cgroupParent }: Pick<Member, "id" | "cgroupParent">,
    { there, missingAbove, signal }: Look & { signal: AbortSignal },
  ): Promise<CgroupOwnership> {
    const entered = this.#lock.run(cgroupParent, async () => {
      signal.throwIfAborted();
      // Before the look: who goes meanwhile removes what is above before he is off the list.
      const others = this.#all().flatMap(({ madeAbove = [] }) => madeAbove);
      const isThere = await there();
      const ownsCgroup = !isThere || this.#members(cgroupParent).some((other) => other.ownsCgroup);
      const madeAbove = ownsCgroup ? await missingAbove(others) : [];
      signal.throwIfAborted(); // else it would stay noted
      const ownership = { ownsCgroup, ...(madeAbove.length > 0 && { madeAbove }) };
      this.#making.set(id, { id, cgroupParent, ...ownership });
      return ownership;
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
  async leave<T>(
    { id, cgroupParent, ownsCgroup }: Omit<Member, "madeAbove">,
    body: (last: boolean) => Promise<T>,
  ): Promise<T> {
    return await this.#lock.run(cgroupParent, async () => {
      this.#making.delete(id);
      return await body(ownsCgroup && !this.#members(cgroupParent).some((other) => other.id !== id));
    });
  }

  #members(cgroupParent: string): Member[] {
    return this.#all().filter((member) => member.cgroupParent === cgroupParent);
  }

  #all(): Member[] {
    return [...this.#listed.list(), ...this.#making.values()];
  }
}

interface Look {
  /** Is the cgroup there? */
  there: () => Promise<boolean>;
  /** missingAbove() of it, told what is above others' by the same. */
  missingAbove: (others: readonly string[]) => Promise<string[]>;
}
