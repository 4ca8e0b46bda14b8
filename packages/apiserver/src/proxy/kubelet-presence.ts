import type { IncomingMessage } from "node:http";
import { defaultPeerTimeoutMs } from "@hawser/streaming/peer-timeout";
import { Questions } from "@hawser/streaming/presence";
import type { Logger } from "@hawser/trace";
import type { Kubelet } from "./kubelet-connection.ts";
import { requestKubelet } from "./kubelet-request.ts";

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
  const questions = new Questions();
  return {
    watch(kubelet, answer, log) {
      if (peerTimeoutMs === 0) return { [Symbol.dispose]: () => {} };
      let read = answer.socket.bytesRead;
      let asking = false;
      const over = new AbortController();
      const look = async () => {
        if (asking) return; // what comes meanwhile is told from what had come before
        const before = read;
        read = answer.socket.bytesRead;
        if (read !== before) return;
        asking = true;
        const why = await questions.unanswered(kubelet.host, {
          ask: (signal) => ask(kubelet, signal),
          timeoutMs: peerTimeoutMs,
          signal: over.signal,
        });
        asking = false;
        if (why === undefined || answer.socket.bytesRead !== read || answer.destroyed) return;
        const error = new Error(
          `the kubelet of node ${JSON.stringify(kubelet.nodeName)} does not answer: ${why.message}`,
        );
        log.warn("an answer was given up: nothing came, and its kubelet does not answer", { error });
        answer.destroy(error);
      };
      const timer = setInterval(() => void look(), peerTimeoutMs);
      timer.unref();
      return {
        [Symbol.dispose]() {
          clearInterval(timer);
          over.abort();
        },
      };
    },
  };
}

/** Any answer will do: it is there. Throws where it cannot be reached. */
async function ask(kubelet: Kubelet, signal: AbortSignal): Promise<void> {
  const answer = await requestKubelet(kubelet, { path: "/healthz", signal, unreachable: (why) => why });
  signal.throwIfAborted();
  answer?.destroy();
}
