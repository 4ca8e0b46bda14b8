import type { IncomingMessage } from "node:http";
import type { Logger } from "@hawser/trace";
import type { Kubelet } from "./kubelet-connection.ts";
import { requestKubelet } from "./kubelet-request.ts";

/** Milliseconds, where nothing else is said. */
const defaultPeerTimeoutMs = 30_000;

/** Gives up answers of kubelets that go on, where they are quiet because the kubelet stands still. */
export interface KubeletPresence {
  /**
   * Until it is disposed: each time that nothing has come for the time, the kubelet is asked on another connection whether it is there, and `answer` is destroyed where
   * it leaves that unanswered for as long.
   */
  watch(kubelet: Kubelet, answer: IncomingMessage, log: Logger): Disposable;
}

/** `peerTimeoutMs`: 30 s where absent, 0 for never. One question serves all answers of a kubelet that are quiet at the time. */
export function kubeletPresence(peerTimeoutMs = defaultPeerTimeoutMs): KubeletPresence {
  const asked = new Map<string, Promise<string | undefined>>();

  /** Why a kubelet does not answer; undefined where it does. */
  function ask(kubelet: Kubelet): Promise<string | undefined> {
    const { host } = kubelet;
    let answer = asked.get(host);
    if (!answer) {
      answer = answers(kubelet, peerTimeoutMs).finally(() => asked.delete(host));
      asked.set(host, answer);
    }
    return answer;
  }

  return {
    watch(kubelet, answer, log) {
      if (peerTimeoutMs === 0) return { [Symbol.dispose]: () => {} };
      let read = answer.socket.bytesRead;
      let asking = false;
      const look = async () => {
        if (asking) return; // what comes meanwhile is told from what had come before
        const before = read;
        read = answer.socket.bytesRead;
        if (read !== before) return;
        asking = true;
        const why = await ask(kubelet);
        asking = false;
        if (why === undefined || answer.socket.bytesRead !== read || answer.destroyed) return;
        const error = new Error(`the kubelet of node ${JSON.stringify(kubelet.nodeName)} does not answer: ${why}`);
        log.warn("an answer was given up: nothing came, and its kubelet does not answer", { error });
        answer.destroy(error);
      };
      const timer = setInterval(() => void look(), peerTimeoutMs);
      timer.unref();
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
  };
}

async function answers(kubelet: Kubelet, timeoutMs: number): Promise<string | undefined> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await requestKubelet(kubelet, { path: "/healthz", signal, unreachable: (why) => why });
    answer?.destroy();
    return answer ? undefined : `nothing within ${timeoutMs / 1000} s`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
