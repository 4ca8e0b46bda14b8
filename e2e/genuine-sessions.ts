// Sessions of every genuine kubectl at once, and the ends they come to.
import assert from "node:assert/strict";
import { type Background, background } from "@hawser/testing";
import type { StreamCluster } from "./stream-cluster.ts";

export const opened = (session: Background) => session.saw(/ready|Forwarding from/);

/**
 * An exec and a port-forward of each genuine kubectl, which learns of a hop that stands still from the one before. The stack has them from their start; what is returned waits for
 * the ends that they are to come to.
 */
export async function genuineSessions(
  cluster: StreamCluster,
  stack: AsyncDisposableStack,
  word: string,
  named: RegExp,
): Promise<() => Promise<void>> {
  const started = cluster.kubectls.flatMap(({ name, command, env }) => {
    const exec = command(["exec", "-i", "box", "--", "sh", "-c", `echo ready; sleep ${word}`]);
    const forward = command(["port-forward", "box", ":80"]);
    return [
      { what: `${name} exec`, session: stack.use(background(exec, { env })), words: named },
      {
        what: `${name} port-forward`,
        session: stack.use(background(forward, { env })),
        words: /lost connection to pod/,
      },
    ];
  });
  await Promise.all(started.map(({ session }) => opened(session)));
  return async () => {
    for (const { what, session, words } of started) {
      const { code } = await session.exit;
      assert.match(session.stderr(), words, what);
      if (words === named) assert.equal(code, 1, what);
    }
  };
}
