import { isWithin } from "../cgroup/above.ts";
import { orAborted } from "../or-aborted.ts";
import { KeyedLock } from "../store/lock.ts";
import type { SandboxRecord } from "../store/records.ts";

/** What a pod's cgroup is to us. */
export type CgroupOwnership = Pick<SandboxRecord, "ownsCgroup" | "madeAbove">;

type Member = Pick<SandboxRecord, "id" | "cgroupParent"> & CgroupOwnership;

/**
 * Who is in which pod's cgroup: the sandboxes that are listed, and those in the making. Several may share one: a pod's sandbox is
 * made again before the old one is removed. Nobody enters a cgroup while it is ended, and it is ended when its last sandbox goes,
 * of those in cgroups below it too. What was made above it is removed while nobody looks for what is there.
 */
export class PodCgroups {
  readonly #listed: { list(): readonly Member[] };
  readonly #making = new Map<string, Member>();
  readonly #lock = new KeyedLock();
  /** Taken second: what is above belongs to many. */
  readonly #above = new KeyedLock();

  constructor(listed: { list(): readonly Member[] }) {
    this.#listed = listed;
  }

  /**
   * To be called before anything of a sandbox is made, and made() when it is listed or given up. Resolves with whether the cgroup
   * is to be ended with its last sandbox: if it is not there, or another's for which that holds; and with what of it, and above it,
   * is ours, by oursAbove(): for one that is there, what was made for one below it. Throws the signal's reason.
   */
  async enter(
    { id, cgroupParent }: Pick<Member, "id" | "cgroupParent">,
    { there, oursAbove, signal }: Look & { signal: AbortSignal },
  ): Promise<CgroupOwnership> {
    const note = (ownsCgroup: boolean, madeAbove: string[]) => {
      signal.throwIfAborted(); // else it would stay noted
      const ownership = { ownsCgroup, ...(madeAbove.length > 0 && { madeAbove }) };
      this.#making.set(id, { id, cgroupParent, ...ownership });
      return ownership;
    };
    const owns = async () =>
      !(await there()) || this.#all().some((other) => other.cgroupParent === cgroupParent && other.ownsCgroup);
    const below = () => notedOf(this.#all().filter((other) => isWithin(other.cgroupParent, cgroupParent)));
    const entered = this.#lock.run(cgroupParent, async () => {
      signal.throwIfAborted();
      // As of all pods of a kubelet: nothing of it is ours, and nobody is waited for.
      if (!oursAbove || below().length === 0) {
        const ownsCgroup = await owns();
        if (!ownsCgroup || !oursAbove) return note(ownsCgroup, []);
      }
      return await this.#above.run("", async () => {
        const ownsCgroup = await owns();
        const others = ownsCgroup ? notedOf(this.#all()) : below();
        return note(ownsCgroup, await oursAbove({ others, made: ownsCgroup }));
      });
    });
    return await orAborted(entered, signal);
  }

  /** It is listed, or nothing is left of it. */
  made(id: string): void {
    this.#making.delete(id);
  }

  /**
   * Calls `body` for a sandbox that goes, while nobody enters or leaves its cgroup: with what to do by, when the cgroup, or what was
   * made of it for another, is to be ended now, since no other sandbox is in it or below it. One that is listed has to be off the
   * list when the body is done.
   */
  async leave<T>(member: Member, body: (last: Last | undefined) => Promise<T>): Promise<T> {
    const { id, cgroupParent, ownsCgroup, madeAbove = [] } = member;
    return await this.#lock.run(cgroupParent, async () => {
      const others = () => this.#all().filter((other) => other.id !== id);
      const isLast = !others().some((other) => isWithin(other.cgroupParent, cgroupParent));
      const last: Last = {
        removeAbove: async (remove) => {
          if (madeAbove.length === 0) return;
          await this.#above.run("", () => remove(others().map((other) => other.cgroupParent)));
        },
      };
      try {
        return await body(isLast && (ownsCgroup || madeAbove.length > 0) ? last : undefined);
      } finally {
        this.#making.delete(id);
      }
    });
  }

  #all(): Member[] {
    return [...this.#listed.list(), ...this.#making.values()];
  }
}

/** For who ends a cgroup. */
export interface Last {
  /** Calls `remove`, if something was made above, with the cgroups that others have or will have; meanwhile nobody enters one. */
  removeAbove(remove: (inUse: string[]) => Promise<void>): Promise<void>;
}

interface Look {
  /** Is the cgroup there? */
  there: () => Promise<boolean>;
  /** oursAbove() of it; absent where nothing above it is ever to be removed. */
  oursAbove?: ((known: { others: readonly string[]; made: boolean }) => Promise<string[]>) | undefined;
}

function notedOf(members: readonly Member[]): string[] {
  return members.flatMap(({ madeAbove = [] }) => madeAbove);
}
