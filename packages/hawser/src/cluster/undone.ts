/** What `hawser remove-containers` exits with when some of the network is all that is left. */
export const networkRemains = 3;

/** Something of a cluster that `down` could not undo, in words for people. */
export class UndoneError extends Error {
  override readonly name = "UndoneError";
  /** What has to stay in the data directory, as paths below it, so that another `down` finds it; "all" of it. */
  readonly needs: "all" | string[];

  constructor(message: string, { needs, cause }: { needs: "all" | string[]; cause?: unknown }) {
    super(message, { cause });
    this.needs = needs;
  }
}

/** Takes each step, whatever becomes of the others, and keeps what went wrong. */
export class Undoing {
  readonly errors: Error[] = [];

  async step(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** What has to stay of the data directory. Of what is not understood nobody knows what it needs. */
  needs(): "all" | string[] {
    const needs = this.errors.map((error) => (error instanceof UndoneError ? error.needs : "all"));
    return needs.includes("all") ? "all" : needs.flat();
  }

  /** Throws when something could not be undone, with all of it, and what to do. */
  end(again: string): void {
    if (this.errors.length === 0) return;
    const what = this.errors.map(({ message }) => `\n  ${message.replaceAll("\n", "\n  ")}`).join("");
    throw new AggregateError(this.errors, `this could not be undone:${what}\nmend that, and try again: ${again}`);
  }
}
