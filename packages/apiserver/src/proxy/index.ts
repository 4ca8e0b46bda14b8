import { connectAttach } from "../registry/core/pod/attach.ts";
import { connectExec } from "../registry/core/pod/exec.ts";
import { podLog } from "../registry/core/pod/log.ts";
import { connectPortForward } from "../registry/core/pod/portforward.ts";
import type { PodStreams, PodStreamsOptions } from "../request.ts";
import { findKubelets } from "./kubelet-connection.ts";
import { kubeletPresence } from "./kubelet-presence.ts";
import { proxyNode } from "./node-proxy.ts";

const connects = { exec: connectExec, attach: connectAttach, portforward: connectPortForward };

/** The pod subresources that stream, over connections to kubelets that show our certificate and verify theirs. */
export function createPodStreams(options: PodStreamsOptions): PodStreams {
  const { objects, access, peerTimeoutMs } = options;
  const dependencies = {
    objects,
    access,
    findKubelet: findKubelets(options),
    presence: kubeletPresence(peerTimeoutMs),
    peerTimeoutMs,
  };
  /** Sessions under way: disposing waits for them, and the server aborts their signals. */
  const sessions = new Set<Promise<void>>();
  const counted = async (session: Promise<void>) => {
    sessions.add(session);
    try {
      await session;
    } finally {
      sessions.delete(session);
    }
  };
  return {
    connectPod: (subresource, context, upgrade) => counted(connects[subresource](dependencies, context, upgrade)),
    proxyNode: (context) => counted(proxyNode(dependencies, context)),
    podLog: (context) => counted(podLog(dependencies, context)),
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([...sessions]);
    },
  };
}
